// Two f32 of every word of out rounded to 16 bits, to nearest, ties to even: f16 (BRAIN false) or bf16, the upper half of an f32.
// What f16 cannot hold becomes infinite; NaN stays NaN. One thread per four elements.
const BRAIN: bool = false;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4u>;  // bits of f32
@group(0) @binding(1) var<storage, read_write> out: array<vec2u>;
@group(0) @binding(2) var<uniform> params: Params;

// By hand: WGSL's pack2x16float may round either way, and leaves what is too large to the driver.
fn half_bits(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude < 0x33000000u) { return sign; }
  if (magnitude < 0x38800000u) {
    // A denormal half: the mantissa with its hidden bit, in units of 2⁻²⁴.
    let shift = 126u - (magnitude >> 23u);
    let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    let kept = mantissa >> shift;
    let rest = mantissa & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    return sign | (kept + select(0u, 1u, rest > middle || (rest == middle && (kept & 1u) == 1u)));
  }
  let rounded = magnitude + 0xfffu + ((magnitude >> 13u) & 1u);
  return sign | ((rounded - 0x38000000u) >> 13u);
}

fn brain_bits(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn pair(low: u32, high: u32) -> u32 {
  if (BRAIN) { return brain_bits(low) | (brain_bits(high) << 16u); }
  return half_bits(low) | (half_bits(high) << 16u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count) { return; }
  let bits = x[index];
  out[index] = vec2u(pair(bits.x, bits.y), pair(bits.z, bits.w));
}
