// losses[r] = |q - sg z|² + commitment · |sg q - z|² with q the normalized code of row r and z its normalized latent; sg stops the
// gradient, so that the value is (1 + commitment) |q - z|². One thread per row; D % 4 == 0.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  dimension: u32,  // D
  commitment: f32,
}

@group(0) @binding(0) var<storage, read> z: array<vec4f>;
@group(0) @binding(1) var<storage, read> quantized: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let width = params.dimension / 4u;
  var square = 0.0;
  for (var i = 0u; i < width; i++) {
    let d = quantized[row * width + i] - z[row * width + i];
    square += ordered_dot(d, d);
  }
  losses[row] = (1.0 + params.commitment) * square;
}
