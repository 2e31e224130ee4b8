// Over the 32 rows n of block b: products[b, :] = Σ dOut[n, :] · (x[n, :] − mean) · scale and sums[b, :] = Σ dOut[n, :], f32.
// One thread per four columns of a block; the blocks are summed afterwards, in order.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
struct Params {
  rows: u32,
  width: u32,  // columns, in cells
  blocks: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Cell>;
@group(0) @binding(1) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(2) var<storage, read> d_out: array<Cell>;
@group(0) @binding(3) var<storage, read_write> products: array<Cell>;
@group(0) @binding(4) var<storage, read_write> sums: array<Cell>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.blocks * params.width) { return; }
  let block = index / params.width;
  let column = index - block * params.width;
  let end = min(block * 32u + 32u, params.rows);
  var product = Cell();
  var sum = Cell();
  for (var row = block * 32u; row < end; row++) {
    let place = row * params.width + column;
    let statistic = statistics[row];
    let slope = d_out[place];
    product += slope * (x[place] - statistic.x) * statistic.y;
    sum += slope;
  }
  products[index] = product;
  sums[index] = sum;
}
