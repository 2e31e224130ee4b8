// dV[j] = Σ p · dOut[n, h]; dK[j] = scale · Σ dS · q[n, h], dS = p · (dOut[n, h]·v[j] − delta), over the rows n that see key j and the heads h of
// its group, p = exp(scale · q·k[j] − log_sum): a gather, head by head, rows in rising order: deterministic without atomics.
// On subgroup matrices: a workgroup serves a key/value head of 32 neighboring keys, segment by segment of those in it. Rows come in tiles of 32 from
// the segment's start. In a tile a key's weights are p · 2^-(exponent of dOut[n]) and dS · 2^-(exponent of q[n]), each lifted by a power of two of
// the key so that the largest lies below 2^14.
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! use lib/matrix-parts.wgsl
//! use lib/matrix-attention.wgsl
const M: u32 = 8u;         // the shape that the adapter multiplies; M and N divide 32, K divides 16
const N: u32 = 8u;
const K: u32 = 8u;
const SUBGROUP: u32 = 32u; // the most lanes that a subgroup may have
const PARTS: u32 = 1u;     // 1 or 2
const HEAD: u32 = 32u;

struct Params {
  rows: u32,
  heads: u32,
  kv_heads: u32,
  causal: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<f16>;
@group(0) @binding(1) var<storage, read> k: array<f16>;
@group(0) @binding(2) var<storage, read> v: array<f16>;
@group(0) @binding(3) var<storage, read> d_out: array<f16>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read> segment_end: array<u32>;
@group(0) @binding(6) var<storage, read_write> d_k: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_v: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(threads)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
) {
  let blocks = (params.rows + 31u) / 32u;
  let index = group.y * groups.x + group.x;
  if (index >= blocks * params.kv_heads) { return; }
  let kv_head = index / blocks;
  let first_key = (index - kv_head * blocks) * 32u;
  let key_end = min(first_key + 32u, params.rows);
  let group_size = params.heads / params.kv_heads;
  let all = params.heads * (params.rows + 32u);
  let kv_all = params.kv_heads * (params.rows + 32u);
  let kv_line = kv_head * (params.rows + 32u);
  // Of the segments in the block one after the other: its keys first … own_end − 1. The others are computed along and stored nowhere.
  var own_end = 0u;
  for (var first = first_key; first < key_end; first = max(own_end, first + 1u)) {
    let finish = segment_end[first];
    own_end = min(finish, key_end);
    let start = statistics[first * params.heads].z;
    // Tiles that no key of the block is seen from are passed over.
    let begin = select(start, start + (first - start) / 32u * 32u, params.causal == 1u);
    var key_gradient: array<f32, chunks * per_thread>;
    var value_gradient: array<f32, chunks * per_thread>;
    // Said aloud: some drivers zero a variable of a loop once only.
    for (var e = 0u; e < chunks * per_thread; e++) {
      key_gradient[e] = 0.0;
      value_gradient[e] = 0.0;
    }
    for (var head = kv_head * group_size; head < (kv_head + 1u) * group_size; head++) {
      let line = head * (params.rows + 32u);
      for (var tile = begin; tile < finish; tile += 32u) {
        multiply_lines(&k, kv_all, kv_line + first_key, &q, all, line + tile, subgroup);
        workgroupBarrier();
        // First p, then dS.
        var terms: array<f32, quarters * 8u>;
        for (var turn = 0u; turn < quarters; turn++) {
          let quarter = turn * threads + thread;
          if (quarter >= 128u) { break; }
          let row = quarter / 4u;
          let j = first_key + row;
          let exponent = exponent_at(&k, kv_all, kv_line + j);
          var reach = no_reach;
          for (var i = 0u; i < 8u; i++) {
            let column = i * 4u + quarter % 4u;
            let n = tile + column;
            var p = unseen;
            if (n < finish && (params.causal == 0u || n >= j)) {
              let score = scaled(summed(row, column), -exponent - exponent_at(&q, all, line + n)) * params.scale;
              p = exponential(score - bitcast<f32>(statistics[n * params.heads + head].x));
              reach = max(reach, reach_of(p, exponent_at(&d_out, all, line + n)));
            }
            terms[turn * 8u + i] = p;
          }
          reaches[quarter] = reach;
        }
        workgroupBarrier();
        write_weights(&terms, &d_out, all, line + tile, thread);
        workgroupBarrier();
        add_weighed(&value_gradient, &d_out, all, line + tile, thread, subgroup);
        multiply_lines(&v, kv_all, kv_line + first_key, &d_out, all, line + tile, subgroup);
        workgroupBarrier();
        for (var turn = 0u; turn < quarters; turn++) {
          let quarter = turn * threads + thread;
          if (quarter >= 128u) { break; }
          let row = quarter / 4u;
          let exponent = exponent_at(&v, kv_all, kv_line + first_key + row);
          var reach = no_reach;
          for (var i = 0u; i < 8u; i++) {
            let column = i * 4u + quarter % 4u;
            let n = tile + column;
            let p = terms[turn * 8u + i];
            var slope = unseen;
            if (is_seen(p)) {
              let delta = bitcast<f32>(statistics[n * params.heads + head].y);
              slope = p * (scaled(summed(row, column), -exponent - exponent_at(&d_out, all, line + n)) - delta);
              reach = max(reach, reach_of(slope, exponent_at(&q, all, line + n)));
            }
            terms[turn * 8u + i] = slope;
          }
          reaches[quarter] = reach;
        }
        workgroupBarrier();
        write_weights(&terms, &q, all, line + tile, thread);
        workgroupBarrier();
        add_weighed(&key_gradient, &q, all, line + tile, thread, subgroup);
      }
    }
    for (var e = 0u; e < chunks * per_thread; e++) {
      let place = e % per_thread * threads + thread;
      let j = first_key + place / 32u;
      let column = e / per_thread * 32u + place % 32u;
      if (j >= first && j < own_end && column < HEAD) {
        d_k[(j * params.kv_heads + kv_head) * HEAD + column] = key_gradient[e] * params.scale;
        d_v[(j * params.kv_heads + kv_head) * HEAD + column] = value_gradient[e];
      }
    }
  }
}
