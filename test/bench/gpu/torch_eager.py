"""The cases of bench:gpu in PyTorch eager mode: prints one JSON object, milliseconds by the name of our case. Needs torch with a GPU."""
import json
import statistics
import sys
import time

import torch

if not torch.cuda.is_available():
    sys.exit("torch sees no GPU")


def measure(work):
    work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    once = time.perf_counter() - started
    times = max(1, int(0.2 / max(once, 1e-5)))
    samples = []
    for _ in range(1 if once > 5 else 5):
        started = time.perf_counter()
        for _ in range(times):
            work()
        torch.cuda.synchronize()
        samples.append((time.perf_counter() - started) / times)
    return 1000 * statistics.median(samples)


rows = {}
torch.manual_seed(1)
torch.backends.cuda.matmul.allow_tf32 = False  # f32 means f32, as ours does
for n in (1024, 4096):
    for name, kind in (("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(n, n, device="cuda", dtype=kind) for _ in range(2))
        rows[f"product {n}^3, weights {name}"] = measure(lambda: a @ b.T)
for name, kind in (("f32", torch.float32), ("bf16", torch.bfloat16)):
    matrix = torch.randn(16384, 8192, device="cuda", dtype=kind)
    row = torch.randn(1, 8192, device="cuda", dtype=kind)
    rows[f"one row x 16384x8192, weights {name}"] = measure(lambda: row @ matrix.T)
q, k, v = (torch.randn(1, 16, 2048, 128, device="cuda", requires_grad=True) for _ in range(3))
rows["attention 2048 x 16 x 128"] = measure(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
rows["attention 2048 x 16 x 128, with backward"] = measure(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward())


class Decoder:
    """A LLaMA decoder in bf16 with a cache of fixed size; weights are random."""

    def __init__(self, hidden, layers, heads, inner, rows, capacity):
        make = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.02
        self.heads, self.width = heads, hidden // heads
        self.layers = [
            {"q": make(hidden, hidden), "k": make(hidden, hidden), "v": make(hidden, hidden), "o": make(hidden, hidden), "gate": make(inner, hidden), "up": make(inner, hidden), "down": make(hidden, inner)}
            for _ in range(layers)
        ]
        self.head = [make(hidden, hidden), make(16384, hidden)]
        self.table = make(16384, hidden)
        self.cache = [[torch.zeros(rows, heads, capacity, self.width, device="cuda", dtype=torch.bfloat16) for _ in range(2)] for _ in range(layers)]

    def step(self, x, position):
        split = lambda y: y.view(y.shape[0], self.heads, 1, self.width)
        norm = lambda y: torch.nn.functional.rms_norm(y, (y.shape[-1],))
        for weights, (keys, values) in zip(self.layers, self.cache):
            before = norm(x)
            keys[:, :, position : position + 1] = split(before @ weights["k"].T)
            values[:, :, position : position + 1] = split(before @ weights["v"].T)
            attended = torch.nn.functional.scaled_dot_product_attention(split(before @ weights["q"].T), keys[:, :, : position + 1], values[:, :, : position + 1])
            x = x + attended.reshape(x.shape) @ weights["o"].T
            after = norm(x)
            x = x + (torch.nn.functional.silu(after @ weights["gate"].T) * (after @ weights["up"].T)) @ weights["down"].T
        return torch.nn.functional.gelu(norm(x) @ self.head[0].T) @ self.head[1].T


@torch.no_grad()
def draw(model, pictures):
    tokens = torch.zeros(2 * pictures, dtype=torch.long, device="cuda")
    for position in range(576):
        logits = model.step(model.table[tokens], position).float()
        guided = logits[pictures:] + 5 * (logits[:pictures] - logits[pictures:])
        tokens = torch.multinomial(torch.softmax(guided, -1), 1).view(-1).repeat(2)


for name, sizes in (("Janus-Pro-1B", (2048, 24, 16, 5632)), ("Janus-Pro-7B", (4096, 30, 32, 11008))):
    for pictures in (1, 8, 32):
        model = Decoder(*sizes, 2 * pictures, 640)
        started = time.perf_counter()
        draw(model, pictures)
        torch.cuda.synchronize()
        started = time.perf_counter()
        draw(model, pictures)
        torch.cuda.synchronize()
        plural = "" if pictures == 1 else "s"
        rows[f"{name}, {pictures} picture{plural} of 576 codes, guidance"] = 1000 * (time.perf_counter() - started)
        del model
        torch.cuda.empty_cache()
print(json.dumps({"description": f"torch {torch.__version__}, {torch.cuda.get_device_name()}", "rows": rows}))
