// 1 / sqrt(mean of a row's squares + ε), for the LANES threads that share the row: all of them must call, and all of them get it. The kernel that
// uses this binds `x` in cells and uses lib/cell.wgsl and one of lib/rows. `base` and `width` are in cells.
fn rms_factor(base: u32, width: u32, epsilon: f32, thread: u32) -> f32 {
  var squares = 0.0;
  for (var i = thread % LANES; i < width; i += LANES) {
    let value = x[base + i];
    squares += inner(value, value);
  }
  return inverseSqrt(row_add(squares, thread) / f32(width * CELL) + epsilon);
}
