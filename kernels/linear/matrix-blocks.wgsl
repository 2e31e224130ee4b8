// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]) on subgroup matrices (tensor cores), operands as matrix-operand.wgsl writes them. Each of
// DOWN × ACROSS subgroups of a workgroup sums OWN_ROWS × OWN_COLUMNS outputs, and loads its matrices from memory, where one after the other lies
// as a whole: those of a row or column of subgroups load the same ones at about the same time. Same bits as matrix.wgsl, which converts
// as it goes and is for few rows or columns: an output is summed in the same order there.
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! use lib/matrix-parts.wgsl
//! use lib/matrix-store.wgsl
//! use lib/matrix-sum.wgsl
const M: u32 = 8u;         // the shape that the adapter multiplies; M and N divide 32
const N: u32 = 8u;
const K: u32 = 8u;
const SUBGROUP: u32 = 32u; // the most lanes that a subgroup may have; where there are more subgroups than asked for, the others only store
const PARTS: u32 = 1u;     // 1 or 2
const OWN_ROWS: u32 = 32u;
const OWN_COLUMNS: u32 = 32u;
const DOWN: u32 = 2u;
const ACROSS: u32 = 2u;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  adds: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> a_exponents: array<i32>;
@group(0) @binding(2) var<storage, read> b: array<f16>;
@group(0) @binding(3) var<storage, read> b_exponents: array<i32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> addend: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

fn steps() -> u32 {
  return (params.inner + K - 1u) / K;
}

// Past the edge the last block stands in: what comes of it is stored nowhere.
fn left(part: u32, block: u32, step: u32) -> subgroup_matrix_left<f16, K, M> {
  let blocks = (params.rows + M - 1u) / M;
  let place = (part * blocks + min(block, blocks - 1u)) * steps() + step;
  return subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(&a, place * M * K, K);
}

fn right(part: u32, block: u32, step: u32) -> subgroup_matrix_right<f16, N, K> {
  let blocks = (params.columns + N - 1u) / N;
  let place = (part * blocks + min(block, blocks - 1u)) * steps() + step;
  return subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&b, place * N * K, K);
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
  sum_tile((group.z * 65535u + group.y) * tile_rows, group.x * tile_columns, 0u, steps(), thread, subgroup);
}
