// out[n, h] = Σ_j p_j · v[j], p = softmax over the row's keys of scale · q[n, h]·k[j]; log_sum[n, h] = log Σ_j exp(scale · q·k).
// Rows are packed segments: row n sees keys start[n] … n (causal) or … end[n] − 1. Head h reads key/value head h / (heads / kv_heads).
// On subgroup matrices (tensor cores): a workgroup serves a head of 32 neighboring rows, segment by segment of those in it. Keys come in tiles of 32
// from the segment's start, so that no row depends on what it is packed with. Scores, the softmax and all sums are f32; operands are those of
// matrix-operand.wgsl. In a tile a row's weights are p_j · 2^-(exponent of v[j]), lifted by a power of two of the row so that the largest lies
// below 2^14, and written as PARTS f16. Order: a key's part of a score by matrices; sums over the keys of a tile by matrices, then tile after tile.
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
@group(0) @binding(3) var<storage, read> segment_start: array<u32>;
@group(0) @binding(4) var<storage, read> segment_end: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

// Of each row: the largest score so far, the sum of exp(score − it), and by what all that was summed before the tile is multiplied.
var<workgroup> largest: array<f32, 32>;
var<workgroup> sum: array<f32, 32>;
var<workgroup> shrink: array<f32, 32>;
// Of each quarter of a row.
var<workgroup> largest_of: array<f32, 128>;
var<workgroup> sum_of: array<f32, 128>;

fn largest_with(row: u32) -> f32 {
  let tile = max(max(largest_of[row * 4u], largest_of[row * 4u + 1u]), max(largest_of[row * 4u + 2u], largest_of[row * 4u + 3u]));
  return max(largest[row], tile);
}

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
  for (var first = first_row; first < row_end; first = max(own_end, first + 1u)) {
    own_end = min(segment_end[first], row_end);
    let finish = select(segment_end[first], own_end, params.causal == 1u);
    var values: array<f32, chunks * per_thread>;
    // Said aloud: some drivers zero a variable of a loop once only.
    for (var e = 0u; e < chunks * per_thread; e++) { values[e] = 0.0; }
    for (var r = thread; r < 32u; r += threads) {
      largest[r] = unseen;
      sum[r] = 0.0;
    }
    for (var tile = segment_start[first]; tile < finish; tile += 32u) {
      multiply_lines(&q, all, line + first_row, &k, kv_all, kv_line + tile, subgroup);
      workgroupBarrier();
      var scores: array<f32, quarters * 8u>;
      for (var turn = 0u; turn < quarters; turn++) {
        let quarter = turn * threads + thread;
        if (quarter >= 128u) { break; }
        let row = quarter / 4u;
        let n = first_row + row;
        let end = select(finish, min(n + 1u, finish), params.causal == 1u);
        let exponent = exponent_at(&q, all, line + n);
        var most = unseen;
        for (var i = 0u; i < 8u; i++) {
          let column = i * 4u + quarter % 4u;
          var score = unseen;
          if (tile + column < end) {
            score = scaled(summed(row, column), -exponent - exponent_at(&k, kv_all, kv_line + tile + column)) * params.scale;
          }
          scores[turn * 8u + i] = score;
          most = max(most, score);
        }
        largest_of[quarter] = most;
      }
      workgroupBarrier();
      for (var turn = 0u; turn < quarters; turn++) {
        let quarter = turn * threads + thread;
        if (quarter >= 128u) { break; }
        let top = largest_with(quarter / 4u);
        var total = 0.0;
        var reach = no_reach;
        for (var i = 0u; i < 8u; i++) {
          let score = scores[turn * 8u + i];
          var p = unseen;
          if (is_seen(score)) {
            p = exponential(score - top);
            total += p;
            reach = max(reach, reach_of(p, exponent_at(&v, kv_all, kv_line + tile + i * 4u + quarter % 4u)));
          }
          scores[turn * 8u + i] = p;
        }
        sum_of[quarter] = total;
        reaches[quarter] = reach;
      }
      workgroupBarrier();
      write_weights(&scores, &v, kv_all, kv_line + tile, thread);
      for (var r = thread; r < 32u; r += threads) {
        let top = largest_with(r);
        // A tile of which a row sees nothing multiplies by one, whatever exp(0) is here: the row keeps its bits.
        shrink[r] = select(exp(largest[r] - top), 1.0, largest[r] == top);
        sum[r] = sum[r] * shrink[r] + ((sum_of[r * 4u] + sum_of[r * 4u + 1u]) + (sum_of[r * 4u + 2u] + sum_of[r * 4u + 3u]));
        largest[r] = top;
      }
      workgroupBarrier();
      for (var e = 0u; e < chunks * per_thread; e++) { values[e] *= shrink[(e % per_thread * threads + thread) / 32u]; }
      add_weighed(&values, &v, kv_all, kv_line + tile, thread, subgroup);
    }
    for (var e = 0u; e < chunks * per_thread; e++) {
      let place = e % per_thread * threads + thread;
      let row = place / 32u;
      let column = e / per_thread * 32u + place % 32u;
      if (first_row + row >= first && first_row + row < own_end && column < HEAD) {
        out[((first_row + row) * params.heads + head) * HEAD + column] = values[e] / sum[row];
      }
    }
    for (var r = thread; r < 32u; r += threads) {
      if (first_row + r >= first && first_row + r < own_end) { log_sum[(first_row + r) * params.heads + head] = largest[r] + log(sum[r]); }
    }
    workgroupBarrier();
  }
}
