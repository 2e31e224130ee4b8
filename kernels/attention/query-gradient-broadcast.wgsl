// dQ[n, h] = scale · Σ_j p_j · (dOut[n, h]·v[j] − delta) · k[j], p_j = exp(scale · q·k[j] − log_sum): a gather over the row's keys.
// A subgroup of exactly eight lanes serves eight neighboring rows of one head; keys and values are shared by subgroupBroadcast
// in tiles of eight, as in forward-broadcast.
//! use lib/ordered-dot.wgsl
enable subgroups;

const HEAD: u32 = 32u;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head; not the constant, so that loops stay rolled: unrolled they take ten times longer to compile
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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.rows + 7u) / 8u;
  let index = group.y * groups.x + group.x;
  if (index >= tiles * params.heads) { return; }
  let head = index / tiles;
  let tile = (index - head * tiles) * 8u;
  let row = min(tile + lane, params.rows - 1u);
  let q_base = (row * params.heads + head) * WIDTH;
  let kv_stride = params.kv_heads * WIDTH;
  let kv_base = head / (params.heads / params.kv_heads) * WIDTH;
  let own = statistics[row * params.heads + head];
  let log_sum = bitcast<f32>(own.x);
  let delta = bitcast<f32>(own.y);
  let first_key = statistics[tile * params.heads].z;
  let last_key = statistics[min(tile + 7u, params.rows - 1u) * params.heads].w;
  var query: array<vec4f, WIDTH>;
  var slope: array<vec4f, WIDTH>;
  var gradient: array<vec4f, WIDTH>;
  for (var c = 0u; c < params.width; c++) {
    query[c] = q[q_base + c] * params.scale;
    slope[c] = d_out[q_base + c];
  }
  for (var first = first_key; first < last_key; first += 8u) {
    let base = min(first + lane, last_key - 1u) * kv_stride + kv_base;
    var s0 = 0.0; var s1 = 0.0; var s2 = 0.0; var s3 = 0.0; var s4 = 0.0; var s5 = 0.0; var s6 = 0.0; var s7 = 0.0;
    var d0 = 0.0; var d1 = 0.0; var d2 = 0.0; var d3 = 0.0; var d4 = 0.0; var d5 = 0.0; var d6 = 0.0; var d7 = 0.0;
    for (var c = 0u; c < params.width; c++) {
      let a = query[c];
      let b = k[base + c];
      s0 += ordered_dot(a, subgroupBroadcast(b, 0u));
      s1 += ordered_dot(a, subgroupBroadcast(b, 1u));
      s2 += ordered_dot(a, subgroupBroadcast(b, 2u));
      s3 += ordered_dot(a, subgroupBroadcast(b, 3u));
      s4 += ordered_dot(a, subgroupBroadcast(b, 4u));
      s5 += ordered_dot(a, subgroupBroadcast(b, 5u));
      s6 += ordered_dot(a, subgroupBroadcast(b, 6u));
      s7 += ordered_dot(a, subgroupBroadcast(b, 7u));
      let g = slope[c];
      let w = v[base + c];
      d0 += ordered_dot(g, subgroupBroadcast(w, 0u));
      d1 += ordered_dot(g, subgroupBroadcast(w, 1u));
      d2 += ordered_dot(g, subgroupBroadcast(w, 2u));
      d3 += ordered_dot(g, subgroupBroadcast(w, 3u));
      d4 += ordered_dot(g, subgroupBroadcast(w, 4u));
      d5 += ordered_dot(g, subgroupBroadcast(w, 5u));
      d6 += ordered_dot(g, subgroupBroadcast(w, 6u));
      d7 += ordered_dot(g, subgroupBroadcast(w, 7u));
    }
    d0 = select(0.0, exp(s0 - log_sum) * (d0 - delta), first + 0u >= own.z && first + 0u < own.w);
    d1 = select(0.0, exp(s1 - log_sum) * (d1 - delta), first + 1u >= own.z && first + 1u < own.w);
    d2 = select(0.0, exp(s2 - log_sum) * (d2 - delta), first + 2u >= own.z && first + 2u < own.w);
    d3 = select(0.0, exp(s3 - log_sum) * (d3 - delta), first + 3u >= own.z && first + 3u < own.w);
    d4 = select(0.0, exp(s4 - log_sum) * (d4 - delta), first + 4u >= own.z && first + 4u < own.w);
    d5 = select(0.0, exp(s5 - log_sum) * (d5 - delta), first + 5u >= own.z && first + 5u < own.w);
    d6 = select(0.0, exp(s6 - log_sum) * (d6 - delta), first + 6u >= own.z && first + 6u < own.w);
    d7 = select(0.0, exp(s7 - log_sum) * (d7 - delta), first + 7u >= own.z && first + 7u < own.w);
    for (var c = 0u; c < params.width; c++) {
      let b = k[base + c];
      var total = gradient[c];
      total += d0 * subgroupBroadcast(b, 0u);
      total += d1 * subgroupBroadcast(b, 1u);
      total += d2 * subgroupBroadcast(b, 2u);
      total += d3 * subgroupBroadcast(b, 3u);
      total += d4 * subgroupBroadcast(b, 4u);
      total += d5 * subgroupBroadcast(b, 5u);
      total += d6 * subgroupBroadcast(b, 6u);
      total += d7 * subgroupBroadcast(b, 7u);
      gradient[c] = total;
    }
  }
  if (tile + lane >= params.rows) { return; }
  for (var c = 0u; c < params.width; c++) { d_q[q_base + c] = gradient[c] * params.scale; }
}
