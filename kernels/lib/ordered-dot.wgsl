// WGSL leaves open in which order dot() adds, and drivers differ and change it: with the order written down, the same bits come of every driver.
fn ordered_dot(a: vec4f, b: vec4f) -> f32 {
  return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}
