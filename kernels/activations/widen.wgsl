// out f32 [rows, columns] from halves (narrow.wgsl): 2^-k times the f16 of each row, which is exact above 2^-126. A thread takes a word of two values.
// NaN and infinity come out as such. Needs no feature of the adapter.
struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> halves: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// The bits of an f32 that is 2^-k times the f16 with these bits.
fn widened(half: u32, power: f32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) { return sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13u); }
  // Below 2^-14 a half counts units of 2^-24.
  var value = f32(magnitude) * 5.9604644775390625e-8;
  if (magnitude >= 0x400u) { value = bitcast<f32>((magnitude << 13u) + 0x38000000u); }
  return sign | bitcast<u32>(value * power);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let width = (params.columns + 1u) / 2u;
  let row = index / width;
  if (row >= params.rows) { return; }
  let word = index % width;
  let first = row * (width + 1u);
  // 254 - (k + 127) is -k + 127: as a number's exponent, 1 … 241.
  let power = bitcast<f32>((254u - halves[first]) << 23u);
  let pair = halves[first + 1u + word];
  let c = 2u * word;
  out[row * params.columns + c] = widened(pair & 0xffffu, power);
  if (c + 1u < params.columns) { out[row * params.columns + c + 1u] = widened(pair >> 16u, power); }
}
