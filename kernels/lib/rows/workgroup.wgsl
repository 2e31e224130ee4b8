// How the 64 threads of a workgroup share rows: they have one together, for GPUs whose subgroups have no known size. Always the same pairs
// are added.
const LANES: u32 = 64u;

var<workgroup> row_floats: array<f32, 64>;
var<workgroup> row_words: array<u32, 64>;

fn row_add(value: f32, thread: u32) -> f32 {
  row_floats[thread] = value;
  for (var width = 32u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) { row_floats[thread] += row_floats[thread + width]; }
  }
  workgroupBarrier();
  let sum = row_floats[0];
  workgroupBarrier();
  return sum;
}

fn row_max(value: f32, thread: u32) -> f32 {
  row_floats[thread] = value;
  for (var width = 32u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) { row_floats[thread] = max(row_floats[thread], row_floats[thread + width]); }
  }
  workgroupBarrier();
  let largest = row_floats[0];
  workgroupBarrier();
  return largest;
}

fn row_max_word(value: u32, thread: u32) -> u32 {
  row_words[thread] = value;
  for (var width = 32u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) { row_words[thread] = max(row_words[thread], row_words[thread + width]); }
  }
  workgroupBarrier();
  let largest = row_words[0];
  workgroupBarrier();
  return largest;
}
