// What is lost of the operands of subgroup matrices, counted in [value, lost, broken][low, high word]: values that are not 0 and come out as 0, and
// values that are no numbers. The kernel that uses this binds `counts` so and declares `PARTS`, as lib/matrix-parts.wgsl does; its threads add up
// what `judged` says of each value and hand it to `count`; when all have, one of them calls `add_counts`.
var<workgroup> counted: array<atomic<u32>, 3>;

// By the bits of a magnitude before it is scaled and behind that. Of what is written as parts, the last begins 2^11 lower than the one before.
fn judged(magnitude: u32, scaled: u32) -> vec3u {
  const smallest = 0x38800000u - (PARTS - 1u) * 0x05800000u;
  let is_broken = magnitude >= 0x7f800000u;
  return vec3u(1u, u32(!is_broken && magnitude != 0u && scaled < smallest), u32(is_broken));
}

fn count(found: vec3u) {
  for (var place = 0u; place < 3u; place++) {
    if (found[place] > 0u) { atomicAdd(&counted[place], found[place]); }
  }
}

// In two words: a step multiplies more than 2^32 values of a large model.
fn add_counts() {
  for (var place = 0u; place < 3u; place++) {
    let more = atomicLoad(&counted[place]);
    if (more > 0u) {
      let before = atomicAdd(&counts[2u * place], more);
      if (before > 0xffffffffu - more) { atomicAdd(&counts[2u * place + 1u], 1u); }
    }
  }
}
