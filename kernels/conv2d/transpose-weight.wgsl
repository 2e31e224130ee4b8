// transposed[c, tap, o] = weight[o, tap, c]: the weight of the input gradient. One thread per value.
struct Params {
  out_channels: u32,  // O
  in_channels: u32,   // C
  taps: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> transposed: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.out_channels * params.in_channels * params.taps) { return; }
  let row = index / params.out_channels;
  let o = index - row * params.out_channels;
  let c = row / params.taps;
  let tap = row - c * params.taps;
  transposed[index] = weight[(o * params.taps + tap) * params.in_channels + c];
}
