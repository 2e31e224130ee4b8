// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]) on subgroup matrices (tensor cores), operands as matrix-operand.wgsl writes them. Each of
// DOWN × ACROSS subgroups of a workgroup sums OWN_ROWS × OWN_COLUMNS outputs, and loads its matrices from memory, where one after the other lies
// as a whole: those of a row or column of subgroups load the same ones at about the same time. Same bits as matrix.wgsl, which converts
// as it goes and is for few rows or columns: an output is summed in the same order there.
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! use lib/matrix-parts.wgsl
//! use lib/matrix-store.wgsl
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

const subgroups = DOWN * ACROSS;
const threads = subgroups * SUBGROUP;
const down = OWN_ROWS / M;
const across = OWN_COLUMNS / N;
const per_thread = M * N / SUBGROUP;

// [subgroup][row][column]: a matrix of what each subgroup has summed.
var<workgroup> block: array<f32, subgroups * M * N>;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
  let first_row = (group.z * 65535u + group.y) * DOWN * OWN_ROWS;
  let first_column = group.x * ACROSS * OWN_COLUMNS;
  let depth = (params.inner + K - 1u) / K;
  let a_blocks = (params.rows + M - 1u) / M;
  let b_blocks = (params.columns + N - 1u) / N;
  let own_row = first_row / M + subgroup / ACROSS * down;
  let own_column = first_column / N + subgroup % ACROSS * across;
  // [order][matrix], matrices row by row.
  var sums: array<array<subgroup_matrix_result<f32, N, M>, down * across>, PARTS>;
  if (subgroup < subgroups) {
    for (var k = 0u; k < depth; k++) {
      for (var q = 0u; q < PARTS; q++) {
        // Past the edge the last block stands in: what comes of it is stored nowhere.
        var right: array<subgroup_matrix_right<f16, N, K>, across>;
        for (var j = 0u; j < across; j++) {
          let place = (q * b_blocks + min(own_column + j, b_blocks - 1u)) * depth + k;
          right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&b, place * N * K, K);
        }
        for (var p = 0u; p < PARTS - q; p++) {
          for (var i = 0u; i < down; i++) {
            let place = (p * a_blocks + min(own_row + i, a_blocks - 1u)) * depth + k;
            let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(&a, place * M * K, K);
            for (var j = 0u; j < across; j++) {
              sums[p + q][i * across + j] = subgroupMatrixMultiplyAccumulate(left, right[j], sums[p + q][i * across + j]);
            }
          }
        }
      }
    }
  }
  for (var matrix = 0u; matrix < down * across; matrix++) {
    // Said aloud: some drivers zero a variable of a loop once only.
    var values = array<f32, per_thread>();
    for (var order = PARTS; order > 0u; order--) {
      if (subgroup < subgroups) { subgroupMatrixStore<row_major>(&block, subgroup * M * N, sums[order - 1u][matrix], N); }
      workgroupBarrier();
      for (var e = 0u; e < per_thread; e++) { values[e] = block[e * threads + thread] + values[e] * 0.00048828125; }
      workgroupBarrier();
    }
    for (var e = 0u; e < per_thread; e++) {
      let place = e * threads + thread;
      let owner = place / (M * N);
      let row = owner / ACROSS * OWN_ROWS + matrix / across * M + place / N % M;
      let column = owner % ACROSS * OWN_COLUMNS + matrix % across * N + place % N;
      store(first_row + row, first_column + column, values[e]);
    }
  }
}
