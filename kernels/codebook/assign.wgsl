// codes[r] = argmax_k z[r] · codebook[k] over normalized rows: the nearest code by cosine, the lowest index among equals.
// One thread per row; D % 4 == 0.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  codes: u32,
  dimension: u32,  // D
}

@group(0) @binding(0) var<storage, read> z: array<vec4f>;
@group(0) @binding(1) var<storage, read> codebook: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let width = params.dimension / 4u;
  var best = -2.0;
  var chosen = 0u;
  for (var k = 0u; k < params.codes; k++) {
    var cosine = 0.0;
    for (var i = 0u; i < width; i++) { cosine += ordered_dot(z[row * width + i], codebook[k * width + i]); }
    if (cosine > best) {
      best = cosine;
      chosen = k;
    }
  }
  codes[row] = chosen;
}
