// normal[r] = rows[r] / |rows[r]|, length[r] = max(|rows[r]|, 1e-12). One thread per row; D % 4 == 0.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  dimension: u32,  // D
}

@group(0) @binding(0) var<storage, read> rows: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> normal: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> length: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let width = params.dimension / 4u;
  var square = 0.0;
  for (var i = 0u; i < width; i++) { square += ordered_dot(rows[row * width + i], rows[row * width + i]); }
  let norm = max(sqrt(square), 1e-12);
  for (var i = 0u; i < width; i++) { normal[row * width + i] = rows[row * width + i] / norm; }
  length[row] = norm;
}
