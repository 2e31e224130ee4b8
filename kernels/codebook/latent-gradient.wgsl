// Straight through: the gradient of the quantized value is taken as that of the normalized latent z, the commitment term is added,
// and both go back through the normalization:
//   g = dOut + 2 · weight · commitment · (z - q),  dLatent = (g - z (z · g)) / |latent|
// `weight` is that of the loss divided by the rows it is averaged over. One thread per row; D % 4 == 0.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  dimension: u32,  // D
  factor: f32,     // 2 · weight · commitment
}

@group(0) @binding(0) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read> quantized: array<vec4f>;
@group(0) @binding(3) var<storage, read> length: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_latent: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let width = params.dimension / 4u;
  var along = 0.0;
  for (var i = row * width; i < (row + 1u) * width; i++) {
    along += ordered_dot(z[i], d_out[i] + params.factor * (z[i] - quantized[i]));
  }
  for (var i = row * width; i < (row + 1u) * width; i++) {
    let g = d_out[i] + params.factor * (z[i] - quantized[i]);
    d_latent[i] = (g - z[i] * along) / length[row];
  }
}
