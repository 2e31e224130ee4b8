// First values of a weight, in the form it is stored in: mean + deviation · n, n standard normal from Philox (counter: index of the
// element in the whole weight, and the weight's key), by Box and Muller. Every value follows from seed, key and index only.
// Eight elements a thread: eight words of f32, four of f16 or bf16, two of int8, one of int4. Codes: such a value rounded,
// with mean and deviation in units of codes. What lies past `count` in the last word is zero.
//! use lib/philox.wgsl
//! use lib/sine.wgsl
const BITS: u32 = 32u;
const BRAIN: bool = false;

struct Params {
  count: u32,  // elements here
  first: u32,  // index of the first one in the whole weight
  seed: u32,
  key: u32,
  mean: f32,
  deviation: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

// Two standard normal values from two words.
fn normal_pair(a: u32, b: u32) -> vec2f {
  let radius = sqrt(2.0 * philox_exponential(a));
  let turn = sine_cosine(6.283185307179586 * (f32(b >> 8u) * (1.0 / 16777216.0)));
  return radius * vec2f(turn.y, turn.x);
}

fn code(value: f32) -> u32 {
  return u32(clamp(round(value), 0.0, f32((1u << min(BITS, 8u)) - 1u)));
}

fn brain(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = ((group.y * groups.x + group.x) * 64u + lane) * 8u;
  if (start >= params.count) { return; }
  var values: array<f32, 8>;
  var normals = vec4f();
  for (var i = 0u; i < 8u; i++) {
    let index = params.first + start + i;
    if (i == 0u || index % 4u == 0u) {
      let words = philox(vec4u(index / 4u, params.key, 0x66696c6cu, 0u), vec2u(params.seed, 0u));
      normals = vec4f(normal_pair(words.x, words.y), normal_pair(words.z, words.w));
    }
    values[i] = select(0.0, params.mean + params.deviation * normals[index % 4u], start + i < params.count);
  }
  const per_word = 32u / BITS;
  for (var w = 0u; w < BITS / 4u; w++) {
    var word = 0u;
    for (var j = 0u; j < per_word; j++) {
      let value = values[w * per_word + j];
      if (BITS == 32u) { word = bitcast<u32>(value); }
      else if (BITS == 16u && BRAIN) { word |= brain(value) << (16u * j); }
      else if (BITS == 16u) { word |= (pack2x16float(vec2f(value, 0.0)) & 0xffffu) << (16u * j); }
      else { word |= code(value) << (BITS * j); }
    }
    let place = start / per_word + w;
    if (place < (params.count + per_word - 1u) / per_word) { out[place] = word; }
  }
}
