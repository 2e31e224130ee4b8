"""The workloads of workloads.mjs in PyTorch eager mode on the processor; JSON lines in, JSON lines out."""
import json
import math
import sys
import time

import numpy
import torch
import torch.nn.functional as F

normEpsilon = 1e-6
ropeBase = 10000


def uniform(count, seed):
    """mulberry32, as in workloads.mjs: the state is a counter, so all values are made at once."""
    with numpy.errstate(over="ignore"):
        z = numpy.uint32(seed) + numpy.arange(1, count + 1, dtype=numpy.uint32) * numpy.uint32(0x6D2B79F5)
        z = (z ^ (z >> numpy.uint32(15))) * (z | numpy.uint32(1))
        z ^= z + (z ^ (z >> numpy.uint32(7))) * (z | numpy.uint32(61))
        return (z ^ (z >> numpy.uint32(14))).astype(numpy.float64) / 2**32


def floats(shape, seed, scale):
    return torch.from_numpy(((uniform(math.prod(shape), seed) * 2 - 1) * scale).astype(numpy.float32)).reshape(shape)


def words(count, seed, limit):
    return torch.from_numpy(numpy.floor(uniform(count, seed) * limit).astype(numpy.int64))


def matmul(work):
    a, b = floats((work["m"], work["k"]), 1, 1), floats((work["n"], work["k"]), 2, 1)
    return lambda: a @ b.T, None


def conv(work):
    side, channels = work["side"], work["channels"]
    x = floats((work["images"], side, side, channels[0]), 7, 1).permute(0, 3, 1, 2).contiguous()
    layers = []
    for index, (inputs, out) in enumerate(zip(channels, channels[1:])):
        weight = floats((out, 3, 3, inputs), 20 + index, math.sqrt(1 / (3 * inputs))).permute(0, 3, 1, 2).contiguous()
        layers.append((weight, floats((out,), 30 + index, 0.1)))

    @torch.no_grad()
    def run():
        value = x
        for index, (weight, bias) in enumerate(layers):
            value = F.conv2d(value, weight, bias, padding=1)
            if index < len(layers) - 1:
                value = F.silu(value)
        return value

    return lambda: run().permute(0, 2, 3, 1), None


def mlp(work):
    sizes = work["sizes"]
    parameters = []
    for index, (inputs, out) in enumerate(zip(sizes, sizes[1:])):
        parameters += [floats((out, inputs), 10 + index, math.sqrt(3 / inputs)).requires_grad_(), torch.zeros(out, requires_grad=True)]
    x, labels = floats((work["batch"], sizes[0]), 3, 1), words(work["batch"], 4, sizes[-1])
    optimizer = torch.optim.Adam(parameters, lr=work["learningRate"])

    def step():
        value = x
        for index in range(0, len(parameters), 2):
            value = F.linear(value, parameters[index], parameters[index + 1])
            if index < len(parameters) - 2:
                value = F.silu(value)
        loss = F.cross_entropy(value, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return None, step


def weights(work):
    width, inner, vocabulary = work["width"], work["mlp"], work["vocabulary"]
    made = {"table": floats((vocabulary, width), 99, 1)}

    def matrix(name, out, inputs):
        made[name] = floats((out, inputs), 100 + len(made), math.sqrt(1 / inputs))

    for layer in range(work["layers"]):
        at = f"layers.{layer}."
        made[at + "norm1"] = torch.ones(width)
        for name in "qkvo":
            matrix(at + name, width, width)
        made[at + "norm2"] = torch.ones(width)
        matrix(at + "gate", inner, width)
        matrix(at + "up", inner, width)
        matrix(at + "down", width, inner)
    made["norm"] = torch.ones(width)
    matrix("head", vocabulary, width)
    return made


def tables(length, width):
    inverse = ropeBase ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), inverse)
    angles = torch.cat([angles, angles], -1)
    return angles.cos().float(), angles.sin().float()


def turn(x, cos, sin):
    front, back = x.chunk(2, -1)
    return x * cos + torch.cat([-back, front], -1) * sin


def model(work, get, x, attend):
    for layer in range(work["layers"]):
        at = f"layers.{layer}."
        before = F.rms_norm(x, (work["width"],), get[at + "norm1"], normEpsilon)
        x = x + attend(layer, before @ get[at + "q"].T, before @ get[at + "k"].T, before @ get[at + "v"].T) @ get[at + "o"].T
        after = F.rms_norm(x, (work["width"],), get[at + "norm2"], normEpsilon)
        x = x + (F.silu(after @ get[at + "gate"].T) * (after @ get[at + "up"].T)) @ get[at + "down"].T
    return F.rms_norm(x, (work["width"],), get["norm"], normEpsilon) @ get["head"].T


def decoder(work):
    sequences, length, heads, width = work["sequences"], work["length"], work["heads"], work["width"]
    get = {name: value.requires_grad_() for name, value in weights(work).items()}
    ids = words(sequences * (length + 1), 5, work["vocabulary"]).reshape(sequences, length + 1)
    cos, sin = tables(length, width // heads)
    groups = [
        {"params": [value for value in get.values() if value.dim() > 1], "weight_decay": work["weightDecay"]},
        {"params": [value for value in get.values() if value.dim() == 1], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=work["learningRate"])
    split = lambda x: x.reshape(sequences, length, heads, width // heads).transpose(1, 2)

    def attend(layer, q, k, v):
        out = F.scaled_dot_product_attention(turn(split(q), cos, sin), turn(split(k), cos, sin), split(v), is_causal=True)
        return out.transpose(1, 2).reshape(sequences, length, width)

    def step():
        logits = model(work, get, get["table"][ids[:, :-1]], attend)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return None, step


def decode(work):
    rows, length, heads, width = work["rows"], work["length"], work["heads"], work["width"]
    get, start = weights(work), words(work["rows"], 6, work["vocabulary"])
    cos, sin = tables(length, width // heads)
    split = lambda x: x.reshape(rows, heads, 1, width // heads)

    @torch.no_grad()
    def run():
        cache = [[torch.zeros(rows, heads, length, width // heads) for _ in range(2)] for _ in range(work["layers"])]
        ids, tokens = start, []
        for position in range(length):

            def attend(layer, q, k, v):
                keys, values = cache[layer]
                keys[:, :, position : position + 1] = turn(split(k), cos[position], sin[position])
                values[:, :, position : position + 1] = split(v)
                out = F.scaled_dot_product_attention(turn(split(q), cos[position], sin[position]), keys[:, :, : position + 1], values[:, :, : position + 1])
                return out.reshape(rows, width)

            ids = model(work, get, get["table"][ids], attend).argmax(-1)
            tokens.append(ids)
        return torch.stack(tokens, 1)

    return run, None


kinds = {"matmul": matmul, "conv": conv, "mlp": mlp, "decoder": decoder, "decode": decode}
forward = step = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        if "prepare" in request:
            forward, step = kinds[request["prepare"]["kind"]](request["prepare"])
            answer = {}
        elif "check" in request:
            result = forward().float() if forward else torch.stack([step() for _ in range(request["steps"])])
            result.contiguous().numpy().tofile(request["check"])
            answer = {}
        else:
            used = time.process_time()
            for _ in range(request["run"]):
                (forward or step)()
            answer = {"cpuMilliseconds": 1000 * (time.process_time() - used)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
