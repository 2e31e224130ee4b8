// Rows are read in cells: vec4f, or f32 where a row is no whole number of vectors. A kernel that uses this declares
// `alias Cell = vec4f;` and `const CELL: u32 = 4u;`; the host replaces both (ops/row-vectors.ts).
fn total(cell: Cell) -> f32 {
  // vec4f(cell) repeats a scalar four times.
  return dot(vec4f(cell), vec4f(f32(CELL) / 4.0));
}

fn inner(a: Cell, b: Cell) -> f32 {
  return dot(vec4f(a), vec4f(b)) * (f32(CELL) / 4.0);
}
