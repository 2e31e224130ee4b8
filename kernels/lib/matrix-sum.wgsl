// The sums of a workgroup on subgroup matrices: OWN_ROWS × OWN_COLUMNS outputs for each of DOWN × ACROSS subgroups, from one step of K to another. The
// kernel that uses this declares these constants and M, N, K, SUBGROUP and PARTS, and says where operands lie and where sums go:
//   left(part, block of M rows, step) and right(part, block of N columns, step), which are asked for past the last row or column, too;
//   store(row, column, sum).
// Products of parts p and q are summed in f32 with all others of order p + q < PARTS, and the orders are added from the smallest on. In which
// order an output is summed depends on the steps alone.
const subgroups = DOWN * ACROSS;
const threads = subgroups * SUBGROUP;
const tile_rows = DOWN * OWN_ROWS;
const tile_columns = ACROSS * OWN_COLUMNS;
const down = OWN_ROWS / M;
const across = OWN_COLUMNS / N;
const per_thread = M * N / SUBGROUP;

// [subgroup][row][column]: a matrix of what each subgroup has summed.
var<workgroup> block: array<f32, subgroups * M * N>;

fn sum_tile(first_row: u32, first_column: u32, first_step: u32, end_step: u32, thread: u32, subgroup: u32) {
  let own_row = first_row / M + subgroup / ACROSS * down;
  let own_column = first_column / N + subgroup % ACROSS * across;
  // [order][matrix], matrices row by row.
  var sums: array<array<subgroup_matrix_result<f32, N, M>, down * across>, PARTS>;
  if (subgroup < subgroups) {
    for (var k = first_step; k < end_step; k++) {
      for (var q = 0u; q < PARTS; q++) {
        var rights: array<subgroup_matrix_right<f16, N, K>, across>;
        for (var j = 0u; j < across; j++) { rights[j] = right(q, own_column + j, k); }
        for (var p = 0u; p < PARTS - q; p++) {
          for (var i = 0u; i < down; i++) {
            let own = left(p, own_row + i, k);
            for (var j = 0u; j < across; j++) {
              sums[p + q][i * across + j] = subgroupMatrixMultiplyAccumulate(own, rights[j], sums[p + q][i * across + j]);
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
