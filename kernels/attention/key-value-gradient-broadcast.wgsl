// dV[j] = Σ p · dOut[n, h]; dK[j] = scale · Σ p · (dOut[n, h]·v[j] − delta) · q[n, h], over the rows n that see key j and the heads h
// of its group, p = exp(scale · q·k[j] − log_sum): a gather, head by head, rows in rising order: deterministic without atomics.
// A subgroup of exactly eight lanes serves eight neighboring keys, a key a lane; rows come in tiles of eight: each lane loads one
// row's q and dOut and shares them by subgroupBroadcast.
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
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read> segment_end: array<u32>;
@group(0) @binding(6) var<storage, read_write> d_k: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> d_v: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (params.rows + 7u) / 8u;
  let index = group.y * groups.x + group.x;
  if (index >= tiles * params.kv_heads) { return; }
  let kv_head = index / tiles;
  let tile = (index - kv_head * tiles) * 8u;
  let row = min(tile + lane, params.rows - 1u);
  let kv_base = (row * params.kv_heads + kv_head) * WIDTH;
  let group_size = params.heads / params.kv_heads;
  var key: array<vec4f, WIDTH>;
  var value: array<vec4f, WIDTH>;
  var key_gradient: array<vec4f, WIDTH>;
  var value_gradient: array<vec4f, WIDTH>;
  for (var c = 0u; c < params.width; c++) {
    key[c] = k[kv_base + c] * params.scale;
    value[c] = v[kv_base + c];
  }
  var start = row;
  var first_row = tile;
  if (params.causal == 0u) {
    start = statistics[row * params.heads].z;
    first_row = statistics[tile * params.heads].z;
  }
  let end = segment_end[row];
  let last_row = segment_end[min(tile + 7u, params.rows - 1u)];
  for (var head = kv_head * group_size; head < (kv_head + 1u) * group_size; head++) {
    for (var first = first_row; first < last_row; first += 8u) {
      let place = min(first + lane, last_row - 1u) * params.heads + head;
      let base = place * WIDTH;
      let other = statistics[place];
      let log_sum = bitcast<f32>(other.x);
      let delta = bitcast<f32>(other.y);
      var s0 = 0.0; var s1 = 0.0; var s2 = 0.0; var s3 = 0.0; var s4 = 0.0; var s5 = 0.0; var s6 = 0.0; var s7 = 0.0;
      var d0 = 0.0; var d1 = 0.0; var d2 = 0.0; var d3 = 0.0; var d4 = 0.0; var d5 = 0.0; var d6 = 0.0; var d7 = 0.0;
      for (var c = 0u; c < params.width; c++) {
        let a = key[c];
        let b = q[base + c];
        s0 += ordered_dot(a, subgroupBroadcast(b, 0u));
        s1 += ordered_dot(a, subgroupBroadcast(b, 1u));
        s2 += ordered_dot(a, subgroupBroadcast(b, 2u));
        s3 += ordered_dot(a, subgroupBroadcast(b, 3u));
        s4 += ordered_dot(a, subgroupBroadcast(b, 4u));
        s5 += ordered_dot(a, subgroupBroadcast(b, 5u));
        s6 += ordered_dot(a, subgroupBroadcast(b, 6u));
        s7 += ordered_dot(a, subgroupBroadcast(b, 7u));
        let w = value[c];
        let g = d_out[base + c];
        d0 += ordered_dot(w, subgroupBroadcast(g, 0u));
        d1 += ordered_dot(w, subgroupBroadcast(g, 1u));
        d2 += ordered_dot(w, subgroupBroadcast(g, 2u));
        d3 += ordered_dot(w, subgroupBroadcast(g, 3u));
        d4 += ordered_dot(w, subgroupBroadcast(g, 4u));
        d5 += ordered_dot(w, subgroupBroadcast(g, 5u));
        d6 += ordered_dot(w, subgroupBroadcast(g, 6u));
        d7 += ordered_dot(w, subgroupBroadcast(g, 7u));
      }
      s0 = select(0.0, exp(s0 - subgroupBroadcast(log_sum, 0u)), first + 0u >= start && first + 0u < end);
      s1 = select(0.0, exp(s1 - subgroupBroadcast(log_sum, 1u)), first + 1u >= start && first + 1u < end);
      s2 = select(0.0, exp(s2 - subgroupBroadcast(log_sum, 2u)), first + 2u >= start && first + 2u < end);
      s3 = select(0.0, exp(s3 - subgroupBroadcast(log_sum, 3u)), first + 3u >= start && first + 3u < end);
      s4 = select(0.0, exp(s4 - subgroupBroadcast(log_sum, 4u)), first + 4u >= start && first + 4u < end);
      s5 = select(0.0, exp(s5 - subgroupBroadcast(log_sum, 5u)), first + 5u >= start && first + 5u < end);
      s6 = select(0.0, exp(s6 - subgroupBroadcast(log_sum, 6u)), first + 6u >= start && first + 6u < end);
      s7 = select(0.0, exp(s7 - subgroupBroadcast(log_sum, 7u)), first + 7u >= start && first + 7u < end);
      d0 = s0 * (d0 - subgroupBroadcast(delta, 0u));
      d1 = s1 * (d1 - subgroupBroadcast(delta, 1u));
      d2 = s2 * (d2 - subgroupBroadcast(delta, 2u));
      d3 = s3 * (d3 - subgroupBroadcast(delta, 3u));
      d4 = s4 * (d4 - subgroupBroadcast(delta, 4u));
      d5 = s5 * (d5 - subgroupBroadcast(delta, 5u));
      d6 = s6 * (d6 - subgroupBroadcast(delta, 6u));
      d7 = s7 * (d7 - subgroupBroadcast(delta, 7u));
      for (var c = 0u; c < params.width; c++) {
        let g = d_out[base + c];
        var values = value_gradient[c];
        values += s0 * subgroupBroadcast(g, 0u);
        values += s1 * subgroupBroadcast(g, 1u);
        values += s2 * subgroupBroadcast(g, 2u);
        values += s3 * subgroupBroadcast(g, 3u);
        values += s4 * subgroupBroadcast(g, 4u);
        values += s5 * subgroupBroadcast(g, 5u);
        values += s6 * subgroupBroadcast(g, 6u);
        values += s7 * subgroupBroadcast(g, 7u);
        value_gradient[c] = values;
        let b = q[base + c];
        var keys = key_gradient[c];
        keys += d0 * subgroupBroadcast(b, 0u);
        keys += d1 * subgroupBroadcast(b, 1u);
        keys += d2 * subgroupBroadcast(b, 2u);
        keys += d3 * subgroupBroadcast(b, 3u);
        keys += d4 * subgroupBroadcast(b, 4u);
        keys += d5 * subgroupBroadcast(b, 5u);
        keys += d6 * subgroupBroadcast(b, 6u);
        keys += d7 * subgroupBroadcast(b, 7u);
        key_gradient[c] = keys;
      }
    }
  }
  if (tile + lane >= params.rows) { return; }
  for (var c = 0u; c < params.width; c++) {
    d_k[kv_base + c] = key_gradient[c] * params.scale;
    d_v[kv_base + c] = value_gradient[c];
  }
}
