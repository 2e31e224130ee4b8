// out[m,n] (+)= Σ_k a[m,k] · b[n,k] (+ bias[n]) (+ addend[m,n]) on subgroup matrices (tensor cores) for few rows or columns: a, bias, addend and
// out f32, b of any storage, any sizes and strides. Rows of a and columns of b are scaled by powers of two (matrix-exponents.wgsl) and written as PARTS f16 of 11
// bits, each 2^11 times what the ones before it left. Products of parts p and q are summed in f32 with all others of order p + q < PARTS, and the
// orders are added from the smallest on. 64 × 64 outputs per workgroup, 32 × 32 for each of four subgroups; `steps` steps of k at a time pass
// through workgroup memory, zeros past the edges. In which order an output is summed depends on k alone.
diagnostic(off, chromium.subgroup_matrix_uniformity);
//! use lib/packed.wgsl
//! use lib/matrix-parts.wgsl
//! use lib/matrix-store.wgsl
const M: u32 = 8u;         // the shape that the adapter multiplies; M and N divide 32, K divides 16
const N: u32 = 8u;
const K: u32 = 8u;
const SUBGROUP: u32 = 32u; // the most lanes that a subgroup may have; in smaller ones the subgroups past the fourth only load
const PARTS: u32 = 1u;     // 1 or 2
const BITS: u32 = 32u;
const BRAIN: bool = false;
const GROUP: u32 = 64u;
const A_ALONG: bool = true;  // neighbors along k are neighbors in memory
const B_ALONG: bool = true;

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  adds: u32,
  a_row: u32,     // strides, in elements
  a_inner: u32,
  b_column: u32,
  b_inner: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> a_exponents: array<i32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> b_exponents: array<i32>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> addend: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

const threads = 4u * SUBGROUP;
const steps = 32u / PARTS;
const pitch = steps + 8u;
const down = 32u / M;
const across = 32u / N;
const per_thread = M * N / SUBGROUP;

// [part][row][k], rows padded so that they begin in different banks.
var<workgroup> a_tile: array<f16, PARTS * 64u * pitch>;
var<workgroup> b_tile: array<f16, PARTS * 64u * pitch>;
// [subgroup][row][column]: a matrix of what each subgroup has summed.
var<workgroup> block: array<f32, 4u * M * N>;

fn b_element(index: u32) -> f32 {
  if (BITS == 32u) { return bitcast<f32>(b[index]); }
  const bits = min(BITS, 16u);
  const per_word = 32u / bits;
  let word = b[index / per_word] >> ((index % per_word) * bits);
  if (BITS == 16u) { return widen_pair(word).x; }
  let scale = scale_minimum(scales[index / GROUP]);
  return scale.y + scale.x * f32(word & ((1u << bits) - 1u));
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
  let first_row = (group.z * 65535u + group.y) * 64u;
  let first_column = group.x * 64u;
  let own_row = subgroup / 2u * 32u;
  let own_column = subgroup % 2u * 32u;
  // [order][matrix], matrices row by row.
  var sums: array<array<subgroup_matrix_result<f32, N, M>, down * across>, PARTS>;
  for (var start = 0u; start < params.inner; start += steps) {
    for (var place = thread; place < 64u * steps; place += threads) {
      let a_k = select(place / 64u, place % steps, A_ALONG);
      let a_row = select(place % 64u, place / steps, A_ALONG);
      var value = 0.0;
      if (first_row + a_row < params.rows && start + a_k < params.inner) {
        value = a[(first_row + a_row) * params.a_row + (start + a_k) * params.a_inner] * power(a_exponents[first_row + a_row]);
      }
      let a_parts = split(value);
      for (var p = 0u; p < PARTS; p++) { a_tile[(p * 64u + a_row) * pitch + a_k] = a_parts[p]; }
      let b_k = select(place / 64u, place % steps, B_ALONG);
      let b_column = select(place % 64u, place / steps, B_ALONG);
      value = 0.0;
      if (first_column + b_column < params.columns && start + b_k < params.inner) {
        value = b_element((first_column + b_column) * params.b_column + (start + b_k) * params.b_inner) * power(b_exponents[first_column + b_column]);
      }
      let b_parts = split(value);
      for (var p = 0u; p < PARTS; p++) { b_tile[(p * 64u + b_column) * pitch + b_k] = b_parts[p]; }
    }
    workgroupBarrier();
    if (subgroup < 4u) {
      for (var k = 0u; k < steps; k += K) {
        for (var q = 0u; q < PARTS; q++) {
          var right: array<subgroup_matrix_right<f16, N, K>, across>;
          for (var j = 0u; j < across; j++) {
            right[j] = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(&b_tile, (q * 64u + own_column + j * N) * pitch + k, pitch);
          }
          for (var p = 0u; p < PARTS - q; p++) {
            for (var i = 0u; i < down; i++) {
              let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(&a_tile, (p * 64u + own_row + i * M) * pitch + k, pitch);
              for (var j = 0u; j < across; j++) {
                sums[p + q][i * across + j] = subgroupMatrixMultiplyAccumulate(left, right[j], sums[p + q][i * across + j]);
              }
            }
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var matrix = 0u; matrix < down * across; matrix++) {
    // Said aloud: some drivers zero a variable of a loop once only.
    var values = array<f32, per_thread>();
    for (var order = PARTS; order > 0u; order--) {
      if (subgroup < 4u) { subgroupMatrixStore<row_major>(&block, subgroup * M * N, sums[order - 1u][matrix], N); }
      workgroupBarrier();
      for (var e = 0u; e < per_thread; e++) { values[e] = block[e * threads + thread] + values[e] * 0.00048828125; }
      workgroupBarrier();
    }
    for (var e = 0u; e < per_thread; e++) {
      let place = e * threads + thread;
      let owner = place / (M * N);
      let row = owner / 2u * 32u + matrix / across * M + place / N % M;
      let column = owner % 2u * 32u + matrix % across * N + place % N;
      store(first_row + row, first_column + column, values[e]);
    }
  }
}
