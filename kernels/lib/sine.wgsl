// sin and cos of an angle, to 2 ulp for |angle| < 2¹⁴: WGSL's own are only bound to 2⁻¹¹ and degrade with the angle.
// Cody and Waite reduction to [−π/4, π/4] (the products with the first two parts are exact), then Cephes' polynomials.
fn sine_cosine(angle: f32) -> vec2f {
  let turns = round(angle * 0.6366197723675814);
  let r = ((angle - turns * 1.5703125) - turns * 4.837512969970703125e-4) - turns * 7.54978995489188216e-8;
  let z = r * r;
  let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let quadrant = u32(i32(turns)) & 3u;
  let swapped = (quadrant & 1u) == 1u;
  let s = select(sine, cosine, swapped);
  let c = select(cosine, sine, swapped);
  return vec2f(select(s, -s, quadrant >= 2u), select(c, -c, quadrant == 1u || quadrant == 2u));
}
