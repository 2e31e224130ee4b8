// halves[r] = (k, pairs of f16) for each row r of x f32 [rows, columns]: 2^k · x[r, c], k stored as k + 127, neighbors along the row in one word, the first in its lower half;
// a last odd value has 0 beside it. k = 13 − ⌊log2 of the largest finite magnitude of the row⌋ within −114 … 126, 0 for a row of zeros: what is written lies below
// 2^14, so nothing overflows, and whatever is at most 2^27 times smaller than the largest of its row keeps 11 bits. Rounded to the nearest by the bits, halves to even, but never up to
// 2^14: no number becomes infinite when it is widened. NaN and infinity come out as they are, and a row does not depend on its neighbors. LANES threads share a
// row, whose largest is the same in any order. Needs no feature of the adapter.
//! use lib/rows/thread.wgsl as ROWS
struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> halves: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// The bits of the f16 that is nearest to a value below 2^14, given by its bits.
fn half_bits(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude == 0x7f800000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    return sign | min(0x73ffu, (magnitude + 0xfffu + ((magnitude >> 13u) & 1u) - 0x38000000u) >> 13u);
  }
  // Below 2^-14 a half counts units of 2^-24; below half a unit it is 0.
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return sign; }
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - exponent;
  let units = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return sign | (units + select(0u, 1u, rest > middle || (rest == middle && (units & 1u) == 1u)));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let start = min(row, params.rows - 1u) * params.columns;
  // The bits of finite magnitudes order as numbers do.
  var most = 0u;
  for (var c = lane; c < params.columns; c += LANES) {
    let magnitude = x[start + c] & 0x7fffffffu;
    if (magnitude < 0x7f800000u) { most = max(most, magnitude); }
  }
  let top = row_max_word(most, thread);
  if (row >= params.rows) { return; }
  var k = 0;
  if (top != 0u) { k = clamp(140 - i32(top >> 23u), -114, 126); }
  let power = bitcast<f32>(u32(k + 127) << 23u);
  let width = (params.columns + 1u) / 2u;
  let first = row * (width + 1u);
  if (lane == 0u) { halves[first] = u32(k + 127); }
  for (var word = lane; word < width; word += LANES) {
    let c = 2u * word;
    var pair = half_bits(scaled(x[start + c], power));
    if (c + 1u < params.columns) { pair |= half_bits(scaled(x[start + c + 1u], power)) << 16u; }
    halves[first + 1u + word] = pair;
  }
}

// What is no number stays what it is, whatever a driver makes of arithmetic with it.
fn scaled(bits: u32, power: f32) -> u32 {
  if ((bits & 0x7f800000u) == 0x7f800000u) { return bits; }
  return bitcast<u32>(bitcast<f32>(bits) * power);
}
