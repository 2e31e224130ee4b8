// What the backward needs of each row and head, one vec4u: log_sum and delta = Σ_c out·dOut (float bits), first and end key.
// One thread per row and head.
//! use lib/ordered-dot.wgsl
struct Params {
  rows: u32,
  width: u32,  // vec4 of a head
  heads: u32,
  causal: u32,
}

@group(0) @binding(0) var<storage, read> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(2) var<storage, read> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read> segment_start: array<u32>;
@group(0) @binding(4) var<storage, read> segment_end: array<u32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4u>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.heads) { return; }
  let row = index / params.heads;
  var delta = 0.0;
  for (var c = 0u; c < params.width; c++) { delta += ordered_dot(out[index * params.width + c], d_out[index * params.width + c]); }
  let end = select(segment_end[row], row + 1u, params.causal == 1u);
  statistics[index] = vec4u(bitcast<u32>(log_sum[index]), bitcast<u32>(delta), segment_start[row], end);
}
