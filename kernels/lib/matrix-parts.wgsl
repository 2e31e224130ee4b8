// How operands of subgroup matrices are written as f16. The kernel that uses this declares `PARTS`: how many f16 a value is written as.

// 2^exponent, for −126 … 127.
fn power(exponent: i32) -> f32 {
  return bitcast<f32>(u32(exponent + 127) << 23u);
}

// A sum of values that were scaled by two powers of two, whose exponents add up to `exponent`. In two steps: 2^-252 is no f32.
fn unscaled(sum: f32, exponent: i32) -> f32 {
  let half = -exponent / 2;
  return sum * power(half) * power(-exponent - half);
}


// The power of two that brings the largest of a row, given by the bits of its magnitude, below 2^14: most of the row then lies where f16 is exact to
// 11 bits. 0 for a row of zeros, and for one with NaN or infinity.
fn exponent_of(most: u32) -> i32 {
  if (most == 0u || most >= 0x7f800000u) { return 0; }
  return clamp(140 - i32(most >> 23u), -114, 126);
}

// In place of an exponent: the row has NaN or infinity.
const no_number = 4096;

// Each part is rounded to 11 bits, halves away from zero, by its bits: WGSL leaves the rounding of f16() open. Each is 2^11 times what the ones
// before it left, and what is too small for 11 bits of f16 is left to the next part.
fn split(value: f32) -> array<f16, PARTS> {
  var parts: array<f16, PARTS>;
  var rest = value;
  for (var p = 0u; p < PARTS; p++) {
    let bits = bitcast<u32>(rest);
    let magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) {
      parts[p] = f16(rest);
      rest = 0.0;
    } else {
      var part = 0.0;
      if (magnitude >= 0x38800000u) { part = bitcast<f32>((bits + 0x1000u) & 0xffffe000u); }
      parts[p] = f16(part);
      rest = (rest - part) * 2048.0;
    }
  }
  return parts;
}
