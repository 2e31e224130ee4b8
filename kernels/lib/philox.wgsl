// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words
// from a counter and a key. Any word of any stream can be had without the ones before it, so a value depends on what it
// is for and never on who computes it. `core/tensor/philox.ts` is the same function on the host, bit for bit.

// (high, low) words of a · b.
fn philox_wide_product(a: u32, b: u32) -> vec2u {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let low = a_low * b_low;
  let middle = a_high * b_low + (low >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return vec2u(a_high * b_high + (middle >> 16u) + (carry >> 16u), a * b);
}

fn philox(counter: vec4u, seed: vec2u) -> vec4u {
  var words = counter;
  var key = seed;
  for (var round = 0u; round < 10u; round++) {
    let first = philox_wide_product(0xd2511f53u, words.x);
    let second = philox_wide_product(0xcd9e8d57u, words.z);
    words = vec4u(second.x ^ words.y ^ key.x, second.y, first.x ^ words.w ^ key.y, first.y);
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return words;
}

// -ln(u) for u = (word >> 8 + 1/2) / 2^24, which is never 0 nor 1. The built-in logarithm may be wrong by 2^-21 near 1,
// where -ln(u) itself is that small: there it is 2 atanh(v / (2 - v)) with v = 1 - u exact.
fn philox_exponential(word: u32) -> f32 {
  let numerator = word >> 8u;
  let v = (f32(0xffffffu - numerator) + 0.5) * (1.0 / 16777216.0);
  if (v >= 0.5) { return -log((f32(numerator) + 0.5) * (1.0 / 16777216.0)); }
  let s = v / (2.0 - v);
  let q = s * s;
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0)))))));
}

// A standard Gumbel value: argmax(logit + gumbel) is a draw from softmax(logits).
fn philox_gumbel(word: u32) -> f32 {
  return -log(philox_exponential(word));
}
