// out[n, h] = Σ_j p_j · v[j], p = softmax over the row's keys of scale · q[n, h]·k[j]; log_sum[n, h] = log Σ_j exp(scale · q·k).
// Rows are packed segments: row n sees keys start[n] … n (causal) or … end[n] − 1. Head h reads key/value head h / (heads / kv_heads).
// One thread per row and head, online softmax, HEAD % 4 == 0. The portable sibling of forward-broadcast.
//! use lib/ordered-dot.wgsl
const HEAD: u32 = 32u;
// A GPU keeps the arrays in registers when the loops unroll; a software adapter would only compile ten times longer.
const UNROLL: bool = false;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head
  heads: u32,
  kv_heads: u32,
  causal: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> segment_start: array<u32>;
@group(0) @binding(4) var<storage, read> segment_end: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

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
  var query: array<vec4f, WIDTH>;
  var sum_values: array<vec4f, WIDTH>;
  for (var c = 0u; c < width; c++) { query[c] = q[q_base + c] * params.scale; }
  let end = select(segment_end[row], row + 1u, params.causal == 1u);
  var largest = -3.0e38;
  var sum = 0.0;
  for (var key = segment_start[row]; key < end; key++) {
    let base = key * kv_stride + kv_base;
    var score = 0.0;
    for (var c = 0u; c < width; c++) { score += ordered_dot(query[c], k[base + c]); }
    if (score > largest) {
      let shrink = exp(largest - score);
      sum *= shrink;
      for (var c = 0u; c < width; c++) { sum_values[c] *= shrink; }
      largest = score;
    }
    let p = exp(score - largest);
    sum += p;
    for (var c = 0u; c < width; c++) { sum_values[c] += p * v[base + c]; }
  }
  for (var c = 0u; c < width; c++) { out[q_base + c] = sum_values[c] / sum; }
  log_sum[row * params.heads + head] = largest + log(sum);
}
