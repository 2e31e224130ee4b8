// Weights in fewer bits than 32. The kernel that uses this declares `BRAIN`: values of 16 bits are bf16 (the upper half of an f32)
// where it is true, f16 elsewhere. None of it needs a feature of the adapter.

// Two values of 16 bits, the first one in the lower half of the word.
fn widen_pair(word: u32) -> vec2f {
  if (BRAIN) { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }
  return unpack2x16float(word);
}

// (scale, minimum) of a group of codes, both bf16, the scale in the lower half: value = minimum + scale · code.
fn scale_minimum(word: u32) -> vec2f {
  return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u));
}
