// out[n, h] = Σ_j p_j · v[j], p = softmax over the row's keys of scale · q[n, h]·k[j]; log_sum[n, h] = log Σ_j exp(scale · q·k).
// Rows are packed segments: row n sees keys start[n] … n (causal) or … end[n] − 1. Head h reads key/value head h / (heads / kv_heads).
// A subgroup of exactly eight lanes serves eight neighboring rows of one head, a row a lane. Keys come in tiles of eight: each lane
// loads one key and one value and shares them by subgroupBroadcast. Online softmax, once per tile. Rows of a group may belong to
// different segments, which are taken one after the other; each lane masks what it must not see. The first tile of a segment begins where
// that does, so that the result of a row does not depend on what it is packed with.
//! use lib/ordered-dot.wgsl
enable subgroups;

const HEAD: u32 = 32u;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head; not the constant, so that loops stay rolled: unrolled they take ten times longer to compile
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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.rows + 7u) / 8u;
  let index = group.y * groups.x + group.x;
  if (index >= tiles * params.heads) { return; }
  let head = index / tiles;
  let tile = (index - head * tiles) * 8u;
  let last_row = min(tile + 7u, params.rows - 1u);
  let row = min(tile + lane, params.rows - 1u);
  let q_base = (row * params.heads + head) * WIDTH;
  let kv_stride = params.kv_heads * WIDTH;
  let kv_base = head / (params.heads / params.kv_heads) * WIDTH;
  var query: array<vec4f, WIDTH>;
  var sum_values: array<vec4f, WIDTH>;
  for (var c = 0u; c < params.width; c++) { query[c] = q[q_base + c] * params.scale; }
  let start = segment_start[row];
  var end = row + 1u;
  if (params.causal == 0u) { end = segment_end[row]; }
  var largest = -1.0e30;
  var sum = 0.0;
  var stop = segment_start[tile];
  while (stop <= last_row) {
    let begin = stop;
    stop = max(segment_end[begin], begin + 1u);
    let last_key = select(stop, min(stop, last_row + 1u), params.causal == 1u);
    let seen = min(end, last_key);
    for (var first = begin; first < last_key; first += 8u) {
      let base = min(first + lane, last_key - 1u) * kv_stride + kv_base;
      var s0 = 0.0; var s1 = 0.0; var s2 = 0.0; var s3 = 0.0; var s4 = 0.0; var s5 = 0.0; var s6 = 0.0; var s7 = 0.0;
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
      }
      s0 = select(-3.0e38, s0, first + 0u >= start && first + 0u < seen);
      s1 = select(-3.0e38, s1, first + 1u >= start && first + 1u < seen);
      s2 = select(-3.0e38, s2, first + 2u >= start && first + 2u < seen);
      s3 = select(-3.0e38, s3, first + 3u >= start && first + 3u < seen);
      s4 = select(-3.0e38, s4, first + 4u >= start && first + 4u < seen);
      s5 = select(-3.0e38, s5, first + 5u >= start && first + 5u < seen);
      s6 = select(-3.0e38, s6, first + 6u >= start && first + 6u < seen);
      s7 = select(-3.0e38, s7, first + 7u >= start && first + 7u < seen);
      let top = max(largest, max(max(max(s0, s1), max(s2, s3)), max(max(s4, s5), max(s6, s7))));
      let shrink = exp(largest - top);
      largest = top;
      let p0 = exp(s0 - top);
      let p1 = exp(s1 - top);
      let p2 = exp(s2 - top);
      let p3 = exp(s3 - top);
      let p4 = exp(s4 - top);
      let p5 = exp(s5 - top);
      let p6 = exp(s6 - top);
      let p7 = exp(s7 - top);
      sum = sum * shrink + (((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)));
      for (var c = 0u; c < params.width; c++) {
        let b = v[base + c];
        var values = sum_values[c] * shrink;
        values += p0 * subgroupBroadcast(b, 0u);
        values += p1 * subgroupBroadcast(b, 1u);
        values += p2 * subgroupBroadcast(b, 2u);
        values += p3 * subgroupBroadcast(b, 3u);
        values += p4 * subgroupBroadcast(b, 4u);
        values += p5 * subgroupBroadcast(b, 5u);
        values += p6 * subgroupBroadcast(b, 6u);
        values += p7 * subgroupBroadcast(b, 7u);
        sum_values[c] = values;
      }
    }
  }
  if (tile + lane >= params.rows) { return; }
  for (var c = 0u; c < params.width; c++) { out[q_base + c] = sum_values[c] / sum; }
  log_sum[row * params.heads + head] = largest + log(sum);
}
