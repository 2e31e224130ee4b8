// dQ[n, h] = scale · Σ_j dS_j · k[j], dS_j = p_j · (dOut[n, h]·v[j] − delta), p_j = exp(scale · q·k[j] − log_sum): a gather over the row's keys.
// On subgroup matrices, with the blocks of rows, segments and tiles of keys of forward-matrix. In a tile a row's weights are
// dS_j · 2^-(exponent of k[j]), lifted by a power of two of the row so that the largest lies below 2^14: derivatives are far smaller than f16 holds.
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
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<f16>;
@group(0) @binding(1) var<storage, read> k: array<f16>;
@group(0) @binding(2) var<storage, read> v: array<f16>;
@group(0) @binding(3) var<storage, read> d_out: array<f16>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> d_q: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(threads)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32,
) {
  let blocks = (params.rows + 31u) / 32u;
  let index = group.y * groups.x + group.x;
  if (index >= blocks * params.heads) { return; }
  let head = index / blocks;
  let first_row = (index - head * blocks) * 32u;
  let row_end = min(first_row + 32u, params.rows);
  let all = params.heads * (params.rows + 32u);
  let kv_all = params.kv_heads * (params.rows + 32u);
  let line = head * (params.rows + 32u);
  let kv_line = head / (params.heads / params.kv_heads) * (params.rows + 32u);
  // Of the segments in the block one after the other: its rows first … own_end − 1. The others are computed along and stored nowhere.
  var own_end = 0u;
  for (var first = first_row; first < row_end; first = own_end) {
    let start = statistics[first * params.heads + head].z;
    own_end = first + 1u;
    while (own_end < row_end && statistics[own_end * params.heads + head].z == start) { own_end++; }
    let finish = statistics[(own_end - 1u) * params.heads + head].w;
    var gradient: array<f32, chunks * per_thread>;
    // Said aloud: some drivers zero a variable of a loop once only.
    for (var e = 0u; e < chunks * per_thread; e++) { gradient[e] = 0.0; }
    for (var tile = start; tile < finish; tile += 32u) {
      multiply_lines(&q, all, line + first_row, &k, kv_all, kv_line + tile, subgroup);
      workgroupBarrier();
      // First p_j, then dS_j.
      var terms: array<f32, quarters * 8u>;
      for (var turn = 0u; turn < quarters; turn++) {
        let quarter = turn * threads + thread;
        if (quarter >= 128u) { break; }
        let row = quarter / 4u;
        let n = first_row + row;
        let own = statistics[min(n, params.rows - 1u) * params.heads + head];
        let exponent = exponent_at(&q, all, line + n);
        for (var i = 0u; i < 8u; i++) {
          let column = i * 4u + quarter % 4u;
          var p = unseen;
          if (tile + column < own.w) {
            let score = scaled(summed(row, column), -exponent - exponent_at(&k, kv_all, kv_line + tile + column)) * params.scale;
            p = exponential(score - bitcast<f32>(own.x));
          }
          terms[turn * 8u + i] = p;
        }
      }
      workgroupBarrier();
      multiply_lines(&d_out, all, line + first_row, &v, kv_all, kv_line + tile, subgroup);
      workgroupBarrier();
      for (var turn = 0u; turn < quarters; turn++) {
        let quarter = turn * threads + thread;
        if (quarter >= 128u) { break; }
        let row = quarter / 4u;
        let n = first_row + row;
        let delta = bitcast<f32>(statistics[min(n, params.rows - 1u) * params.heads + head].y);
        let exponent = exponent_at(&d_out, all, line + n);
        var reach = no_reach;
        for (var i = 0u; i < 8u; i++) {
          let column = i * 4u + quarter % 4u;
          let p = terms[turn * 8u + i];
          var slope = unseen;
          if (is_seen(p)) {
            slope = p * (scaled(summed(row, column), -exponent - exponent_at(&v, kv_all, kv_line + tile + column)) - delta);
            reach = max(reach, reach_of(slope, exponent_at(&k, kv_all, kv_line + tile + column)));
          }
          terms[turn * 8u + i] = slope;
        }
        reaches[quarter] = reach;
      }
      workgroupBarrier();
      write_weights(&terms, &k, kv_all, kv_line + tile, thread);
      workgroupBarrier();
      add_weighed(&gradient, &k, kv_all, kv_line + tile, thread, subgroup);
    }
    for (var e = 0u; e < chunks * per_thread; e++) {
      let place = e % per_thread * threads + thread;
      let n = first_row + place / 32u;
      let column = e / per_thread * 32u + place % 32u;
      if (n >= first && n < own_end && column < HEAD) { d_q[(n * params.heads + head) * HEAD + column] = gradient[e] * params.scale; }
    }
  }
}
