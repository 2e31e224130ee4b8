// out[r, :] (+)= Σ value[i, :] over the linked list of row r (rows/link), f32.
// One thread per four columns of an output row; the list rises, so the order of summation is fixed. No list: zero.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
const ACCUMULATE: bool = false;

struct Params {
  size: u32,   // rows of `out`
  width: u32,  // columns, in cells
}

@group(0) @binding(0) var<storage, read> value: array<Cell>;
@group(0) @binding(1) var<storage, read> heads: array<u32>;
@group(0) @binding(2) var<storage, read> next: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<Cell>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.size * params.width) { return; }
  let row = index / params.width;
  let column = index - row * params.width;
  var sum = Cell();
  var entry = heads[row];
  if (ACCUMULATE && entry == 0xffffffffu) { return; }
  while (entry != 0xffffffffu) {
    sum += value[entry * params.width + column];
    entry = next[entry];
  }
  if (ACCUMULATE) { sum += out[index]; }
  out[index] = sum;
}
