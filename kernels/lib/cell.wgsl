// Rows are read in cells: vec4f, or f32 where a row is no whole number of vectors. A kernel that uses this declares
// `alias Cell = vec4f;` and `const CELL: u32 = 4u;`; the host replaces both (ops/row-vectors.ts).
fn total(cell: Cell) -> f32 {
  // vec4f(cell) repeats a scalar four times. Written out: WGSL leaves the order in which dot() adds open.
  let four = vec4f(cell);
  return (four.x + four.y + four.z + four.w) * (f32(CELL) / 4.0);
}

fn inner(a: Cell, b: Cell) -> f32 {
  let four = vec4f(a) * vec4f(b);
  return (four.x + four.y + four.z + four.w) * (f32(CELL) / 4.0);
}
