// What the kernels of attention on subgroup matrices share. A workgroup of four subgroups has a tile: 32 lines (queries or keys, of one head) by 32
// others. The kernel that uses this declares `M`, `N`, `K`, `SUBGROUP`, `PARTS` and `HEAD` and uses lib/matrix-parts.wgsl; operands are those of
// attention/matrix-operand.wgsl. WGSL gives no access to the elements of a matrix: what is summed passes through `block`, what is multiplied
// again through `weights`.

const grain = max(K, N);
const depth = (HEAD + grain - 1u) / grain * grain;  // of a line
const chunks = (depth + 31u) / 32u;
const threads = 4u * SUBGROUP;
const per_thread = 1024u / threads;
// Of a tile a thread takes quarters of rows: the columns ≡ quarter mod 4.
const quarters = (128u + threads - 1u) / threads;
const down = 32u / M;
const across = 32u / N;
const block_pitch = 36u;  // so that neighboring quarters begin in different banks
const weight_pitch = 40u;

// [order][row][column]
var<workgroup> block: array<f32, PARTS * 32u * block_pitch>;
// [part][row][column]
var<workgroup> weights: array<f16, PARTS * 32u * weight_pitch>;
// Of each quarter, how far its weights reach.
var<workgroup> reaches: array<i32, 128>;
// Of each row, by what the sums of a tile are multiplied.
var<workgroup> lower: array<f32, 32>;

// In place of a score or weight: the row does not see the key. A finite number that nothing else is.
const unseen = -0x1.fffffep+127;

// By its bits: a NaN is seen, and WGSL leaves open how it compares.
fn is_seen(term: f32) -> bool { return bitcast<u32>(term) != bitcast<u32>(unseen); }

// block = lines of a · lines of b, 32 by 32, summed over a line. `all_a`, `all_b`: lines in a part.
fn multiply_lines(
  a: ptr<storage, array<f16>, read>, all_a: u32, first_a: u32,
  b: ptr<storage, array<f16>, read>, all_b: u32, first_b: u32,
  subgroup: u32,
) {
  if (subgroup >= 4u) { return; }
  for (var matrix = subgroup; matrix < down * across; matrix += 4u) {
    let row = matrix / across * M;
    let column = matrix % across * N;
    var sums: array<subgroup_matrix_result<f32, N, M>, PARTS>;
    // Said aloud: some drivers zero a variable of a loop once only.
    for (var order = 0u; order < PARTS; order++) { sums[order] = subgroup_matrix_result<f32, N, M>(); }
    for (var k = 0u; k < depth; k += K) {
      for (var q = 0u; q < PARTS; q++) {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, col_major>(b, (q * all_b + first_b + column) * depth + k, depth);
        for (var p = 0u; p < PARTS - q; p++) {
          let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(a, (p * all_a + first_a + row) * depth + k, depth);
          sums[p + q] = subgroupMatrixMultiplyAccumulate(left, right, sums[p + q]);
        }
      }
    }
    for (var order = 0u; order < PARTS; order++) {
      subgroupMatrixStore<row_major>(&block, (order * 32u + row) * block_pitch + column, sums[order], block_pitch);
    }
  }
}

// What the block holds, its orders added from the smallest on.
fn summed(row: u32, column: u32) -> f32 {
  var value = 0.0;
  for (var order = PARTS; order > 0u; order--) { value = block[((order - 1u) * 32u + row) * block_pitch + column] + value * 0.00048828125; }
  return value;
}

// The power of two by which a line of an operand was multiplied, `no_number` where it holds NaN or infinity. `all`: lines in a part.
fn exponent_at(x: ptr<storage, array<f16>, read>, all: u32, line: u32) -> i32 {
  return i32(x[PARTS * all * depth + line]);
}

// 2^exponent · value, NaN where the exponent is made of that of a line with NaN or infinity. What is below 2^-126 is 0.
fn scaled(value: f32, exponent: i32) -> f32 {
  let bits = bitcast<u32>(value);
  if (abs(exponent) > no_number / 2) { return bitcast<f32>(bits | 0x7fc00000u); }
  if ((bits & 0x7f800000u) == 0u) { return 0.0; }
  // In two steps: 2^-252 is no f32.
  let within = clamp(exponent, -252, 254);
  let half = within / 2;
  return value * power(half) * power(within - half);
}

// exp, and NaN of a NaN: some drivers lose it.
fn exponential(x: f32) -> f32 {
  if ((bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u) { return x; }
  return exp(x);
}

const no_reach = -1000;

// ⌊log2 |2^-exponent · value|⌋; `no_reach` for 0 and for what is no number.
fn reach_of(value: f32, exponent: i32) -> i32 {
  let biased = (bitcast<u32>(value) >> 23u) & 0xffu;
  if (biased == 0u || biased == 255u) { return no_reach; }
  return max(i32(biased) - 127 - exponent, no_reach);
}

// weights = terms · 2^-(exponent of the column's line in x), lifted by a power of two of the row so that the farthest lies below 2^14, and split.
fn write_weights(terms: ptr<function, array<f32, quarters * 8u>>, x: ptr<storage, array<f16>, read>, all: u32, first_line: u32, thread: u32) {
  for (var turn = 0u; turn < quarters; turn++) {
    let quarter = turn * threads + thread;
    if (quarter >= 128u) { break; }
    let row = quarter / 4u;
    let farthest = max(max(reaches[row * 4u], reaches[row * 4u + 1u]), max(reaches[row * 4u + 2u], reaches[row * 4u + 3u]));
    let lift = clamp(13 - farthest, -126, 126);
    for (var i = 0u; i < 8u; i++) {
      let column = i * 4u + quarter % 4u;
      let term = terms[turn * 8u + i];
      var weight = 0.0;
      if (is_seen(term)) { weight = scaled(term, lift - exponent_at(x, all, first_line + column)); }
      let parts = split(weight);
      for (var p = 0u; p < PARTS; p++) { weights[(p * 32u + row) * weight_pitch + column] = parts[p]; }
    }
    if (quarter % 4u == 0u) { lower[row] = power(-lift); }
  }
}

// block = weights · lines of b, 32 by the columns from `first_column` on, summed over the 32 lines.
fn weigh_lines(b: ptr<storage, array<f16>, read>, all_b: u32, first_b: u32, first_column: u32, subgroup: u32) {
  if (subgroup >= 4u) { return; }
  for (var matrix = subgroup; matrix < down * across; matrix += 4u) {
    let row = matrix / across * M;
    let column = matrix % across * N;
    if (first_column + column >= depth) { continue; }
    var sums: array<subgroup_matrix_result<f32, N, M>, PARTS>;
    for (var order = 0u; order < PARTS; order++) { sums[order] = subgroup_matrix_result<f32, N, M>(); }
    for (var k = 0u; k < 32u; k += K) {
      for (var q = 0u; q < PARTS; q++) {
        let right = subgroupMatrixLoad<subgroup_matrix_right<f16, N, K>, row_major>(b, (q * all_b + first_b + k) * depth + first_column + column, depth);
        for (var p = 0u; p < PARTS - q; p++) {
          let left = subgroupMatrixLoad<subgroup_matrix_left<f16, K, M>, row_major>(&weights, (p * 32u + row) * weight_pitch + k, weight_pitch);
          sums[p + q] = subgroupMatrixMultiplyAccumulate(left, right, sums[p + q]);
        }
      }
    }
    for (var order = 0u; order < PARTS; order++) {
      subgroupMatrixStore<row_major>(&block, (order * 32u + row) * block_pitch + column, sums[order], block_pitch);
    }
  }
}

// sums += weights · lines of b, 32 columns at a time, each thread its elements of `block`. Ends with a barrier.
fn add_weighed(sums: ptr<function, array<f32, chunks * per_thread>>, b: ptr<storage, array<f16>, read>, all_b: u32, first_b: u32, thread: u32, subgroup: u32) {
  for (var chunk = 0u; chunk < chunks; chunk++) {
    weigh_lines(b, all_b, first_b, chunk * 32u, subgroup);
    workgroupBarrier();
    for (var e = 0u; e < per_thread; e++) {
      let row = (e * threads + thread) / 32u;
      sums[chunk * per_thread + e] += summed(row, (e * threads + thread) % 32u) * lower[row];
    }
    workgroupBarrier();
  }
}
