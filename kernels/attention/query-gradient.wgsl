// dQ[n, h] = scale · Σ_j p_j · (dOut[n, h]·v[j] − delta) · k[j], p_j = exp(scale · q·k[j] − log_sum): a gather over the row's keys.
// One thread per row and head, HEAD % 4 == 0. The portable sibling of query-gradient-broadcast.
//! use lib/ordered-dot.wgsl
const HEAD: u32 = 32u;
// A GPU keeps the arrays in registers when the loops unroll; a software adapter would only compile ten times longer.
const UNROLL: bool = false;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head
  heads: u32,
  kv_heads: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> d_q: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.heads) { return; }
  let width = select(params.width, WIDTH, UNROLL);
  let head = index / params.rows;
  let row = index - head * params.rows;
  let q_base = (row * params.heads + head) * WIDTH;
  let kv_stride = params.kv_heads * WIDTH;
  let kv_base = head / (params.heads / params.kv_heads) * WIDTH;
  let own = statistics[row * params.heads + head];
  let log_sum = bitcast<f32>(own.x);
  let delta = bitcast<f32>(own.y);
  var query: array<vec4f, WIDTH>;
  var slope: array<vec4f, WIDTH>;
  var gradient: array<vec4f, WIDTH>;
  for (var c = 0u; c < width; c++) {
    query[c] = q[q_base + c] * params.scale;
    slope[c] = d_out[q_base + c];
  }
  for (var key = own.z; key < own.w; key++) {
    let base = key * kv_stride + kv_base;
    var score = 0.0;
    var dp = 0.0;
    for (var c = 0u; c < width; c++) {
      score += ordered_dot(query[c], k[base + c]);
      dp += ordered_dot(slope[c], v[base + c]);
    }
    let ds = exp(score - log_sum) * (dp - delta);
    for (var c = 0u; c < width; c++) { gradient[c] += ds * k[base + c]; }
  }
  for (var c = 0u; c < width; c++) { d_q[q_base + c] = gradient[c] * params.scale; }
}
