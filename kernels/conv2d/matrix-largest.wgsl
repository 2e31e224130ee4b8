// largest[r, s] = the largest finite |x[r, k]| for k of piece s of `splits`, 0 where there is none: linear/matrix-exponents.wgsl makes the power of two of a row
// from its pieces. Rows are pictures, or channels of all pictures. A broken value counts for nothing here, so that the others of its row are scaled as
// they would be without it.
const ALONG: bool = true;  // neighbors along k are neighbors in memory: a workgroup takes a piece; else a thread does, and its neighbors those of other rows

struct Params {
  rows: u32,
  inner: u32,
  x_row: u32,  // strides, in elements
  x_inner: u32,
  splits: u32,
  split: u32,  // values of a piece
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> largest: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// The bits of magnitudes order as numbers do.
var<workgroup> most: atomic<u32>;

fn largest_of(row: u32, split: u32, first: u32, step: u32) -> u32 {
  let end = min((split + 1u) * params.split, params.inner);
  var found = 0u;
  for (var k = split * params.split + first; k < end; k += step) {
    let bits = x[row * params.x_row + k * params.x_inner] & 0x7fffffffu;
    if (bits < 0x7f800000u) { found = max(found, bits); }
  }
  return found;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.y * groups.x + group.x;
  let split = index % params.splits;
  let row = select(index / params.splits * 64u + lane, index / params.splits, ALONG);
  if (ALONG) {
    if (row < params.rows) { atomicMax(&most, largest_of(row, split, lane, 64u)); }
    workgroupBarrier();
    if (row < params.rows && lane == 0u) { largest[row * params.splits + split] = atomicLoad(&most); }
  } else if (row < params.rows) {
    largest[row * params.splits + split] = largest_of(row, split, 0u, 1u);
  }
}
