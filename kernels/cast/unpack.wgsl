// f32 from two 16-bit floats in every word: f16 (BRAIN false) or bf16, the upper half of an f32. Exact. One thread per four elements.
const BRAIN: bool = false;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4u>;  // bits of f32
@group(0) @binding(2) var<uniform> params: Params;

// By hand: unpack2x16float may flush denormal halves.
fn float_bits(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) { return sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u); }
  if (magnitude >= 0x400u) { return sign | ((magnitude << 13u) + 0x38000000u); }
  return sign | bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8);
}

fn widen(word: u32) -> vec2u {
  if (BRAIN) { return vec2u(word << 16u, word & 0xffff0000u); }
  return vec2u(float_bits(word & 0xffffu), float_bits(word >> 16u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  let words = x[index];
  out[index] = vec4u(widen(words.x), widen(words.y));
}
