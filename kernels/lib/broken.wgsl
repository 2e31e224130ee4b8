// Logits that are NaN or +∞ come from a broken network and must show; −∞ stands for an id that cannot come. WGSL lets `clamp` and `max` lose
// a NaN, so the bits are looked at: the result is rank of the worst value seen, of which `broken_nan` makes a NaN where that is one.
fn broken_rank(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits & 0x7fffffffu, 0u, bits == 0xff800000u);
}

fn is_broken(rank: u32) -> bool { return rank >= 0x7f800000u; }

fn broken_nan(rank: u32) -> f32 { return bitcast<f32>(rank | 0x7fc00000u); }
