// out[n] = factor · Σ_c x[n, c], f32 [N, columns]. One workgroup per row: thread t sums the columns t, t + 64, … in order, then the 64
// partial sums are added in pairs, always the same ones: the order is fixed whatever the adapter.
struct Params {
  rows: u32,
  columns: u32,
  count: u32,    // elements of x; the last row may be cut short
  factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  let base = min(row, params.rows - 1u) * params.columns;
  var sum = 0.0;
  for (var i = lane; i < params.columns && base + i < params.count; i += 64u) { sum += x[base + i]; }
  sums[lane] = sum;
  for (var width = 32u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { sums[lane] += sums[lane + width]; }
  }
  if (lane == 0u && row < params.rows) { out[row] = params.factor * sums[0]; }
}
