// A 3 × 3 filter on a picture whose pixels are repeated twice in both directions is a 4 × 4 filter that widens by a stride of two:
//   wide[o, e, c] = Σ weight[o, t, c] over the t with e ∈ {2 - t, 3 - t}, in y and in x
// which needs 4 instead of 9 products per pixel, input and output channel. One thread per value of wide.
struct Params {
  out_channels: u32,  // O
  in_channels: u32,   // C
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;      // [O, 3, 3, C]
@group(0) @binding(1) var<storage, read_write> wide: array<f32>;  // [O, 4, 4, C]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.out_channels * params.in_channels * 16u) { return; }
  let row = index / params.in_channels;
  let c = index - row * params.in_channels;
  let o = row / 16u;
  let ey = (row % 16u) / 4u;
  let ex = row % 4u;
  var sum = 0.0;
  for (var ty = select(2u - ey, 0u, ey > 2u); ty <= min(3u - ey, 2u); ty++) {
    for (var tx = select(2u - ex, 0u, ex > 2u); tx <= min(3u - ex, 2u); tx++) {
      sum += weight[((o * 3u + ty) * 3u + tx) * params.in_channels + c];
    }
  }
  wide[index] = sum;
}
