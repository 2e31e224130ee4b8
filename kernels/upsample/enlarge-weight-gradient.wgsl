// dWeight[o, t, c] += Σ_s Σ_e partial[s, c, e, o] over the e of upsample/enlarge-weight that t takes part in, splits in order.
// One thread per value of dWeight.
struct Params {
  out_channels: u32,  // O
  in_channels: u32,   // C
  splits: u32,
}

@group(0) @binding(0) var<storage, read> partial: array<f32>;          // [splits, C, 4, 4, O]
@group(0) @binding(1) var<storage, read_write> d_weight: array<f32>;   // [O, 3, 3, C]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.out_channels * params.in_channels * 9u) { return; }
  // Neighboring threads read neighboring o.
  let row = index / params.out_channels;
  let o = index - row * params.out_channels;
  let c = row / 9u;
  let ty = (row % 9u) / 3u;
  let tx = row % 3u;
  let stride = params.in_channels * 16u * params.out_channels;
  var sum = 0.0;
  for (var s = 0u; s < params.splits; s++) {
    for (var ey = 2u - ty; ey <= 3u - ty; ey++) {
      for (var ex = 2u - tx; ex <= 3u - tx; ex++) { sum += partial[s * stride + ((c * 4u + ey) * 4u + ex) * params.out_channels + o]; }
    }
  }
  d_weight[((o * 3u + ty) * 3u + tx) * params.in_channels + c] += sum;
}
