// How the 64 threads of a workgroup share rows: a row for each subgroup of LANES threads, on adapters where every subgroup has one size.
const LANES: u32 = 8u;

// Always the same pairs are added: WGSL leaves the order of subgroupAdd open.
fn row_add(value: f32, thread: u32) -> f32 {
  var sum = value;
  for (var distance = LANES / 2u; distance > 0u; distance /= 2u) { sum += subgroupShuffleXor(sum, distance); }
  return sum;
}

fn row_max(value: f32, thread: u32) -> f32 { return subgroupMax(value); }

fn row_max_word(value: u32, thread: u32) -> u32 { return subgroupMax(value); }
