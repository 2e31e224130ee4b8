// dBias[n] += Σ_m dOut[m,n]. One thread per column; rows are summed in order: deterministic.
struct Params {
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> d_out: array<f32>;
@group(0) @binding(1) var<storage, read_write> d_bias: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= params.columns) { return; }
  var sum = 0.0;
  for (var row = 0u; row < params.rows; row++) { sum += d_out[row * params.columns + column]; }
  d_bias[column] += sum;
}
