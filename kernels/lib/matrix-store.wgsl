// Where a sum of scaled products goes. The kernel that uses this binds `a_exponents`, `b_exponents`, `bias`, `addend` and `out`, uses
// lib/matrix-parts.wgsl, and has `rows`, `columns` and `adds` (1: the bias; 2: the addend; 4: what `out` holds) in `params`.
fn store(row: u32, column: u32, sum: f32) {
  if (row >= params.rows || column >= params.columns) { return; }
  let index = row * params.columns + column;
  var value = unscaled(sum, a_exponents[row] + b_exponents[column]);
  if ((params.adds & 1u) != 0u) { value += bias[column]; }
  if ((params.adds & 2u) != 0u) { value += addend[index]; }
  if ((params.adds & 4u) != 0u) { value += out[index]; }
  out[index] = value;
}
