// The codebook term of the loss: with g_k = Σ_{r: codes[r] = k} 2 · weight · (e_k - z_r), e the normalized codebook,
//   dCodebook[k] += (g_k - e_k (e_k · g_k)) / |codebook[k]|
// One thread per code walks all rows in order, so that nothing is scattered: deterministic. At most 32 dimensions; D % 4 == 0.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  codes: u32,
  dimension: u32,  // D
  factor: f32,     // 2 · weight
}

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read> normal: array<vec4f>;
@group(0) @binding(3) var<storage, read> length: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_codebook: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let code = (group.y * groups.x + group.x) * 64u + lane;
  if (code >= params.codes) { return; }
  let width = params.dimension / 4u;
  var gradient = array<vec4f, 8>();
  for (var row = 0u; row < params.rows; row++) {
    if (codes[row] == code) {
      for (var i = 0u; i < width; i++) { gradient[i] += params.factor * (normal[code * width + i] - z[row * width + i]); }
    }
  }
  var along = 0.0;
  for (var i = 0u; i < width; i++) { along += ordered_dot(normal[code * width + i], gradient[i]); }
  for (var i = 0u; i < width; i++) {
    d_codebook[code * width + i] += (gradient[i] - normal[code * width + i] * along) / length[code];
  }
}
