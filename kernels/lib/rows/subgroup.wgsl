// How the 64 threads of a workgroup share rows: a row for each subgroup of LANES threads, on adapters where every subgroup has one size.
const LANES: u32 = 8u;

// Its order is the driver's: of the sums of kernels the only one. With pairs added by subgroupShuffleXor instead, lavapipe 25.0.7 gave a
// scorer whose log-probabilities were 4 times as far from the sampler's (test/core/recipes/grpo/methods.test.ts, guidance); why is not known.
fn row_add(value: f32, thread: u32) -> f32 { return subgroupAdd(value); }

fn row_max(value: f32, thread: u32) -> f32 { return subgroupMax(value); }

fn row_max_word(value: u32, thread: u32) -> u32 { return subgroupMax(value); }
