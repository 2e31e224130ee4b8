// out[m, :] = Σ_k shares[m, k] · table[rows[m, k], :] over k < named, in this order, f32 [M, width]. One thread per four columns of an output row.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
struct Params {
  count: u32,  // M
  named: u32,  // rows of the table named by each row of the output
  width: u32,  // columns, in cells
}

@group(0) @binding(0) var<storage, read> table: array<Cell>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Cell>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let m = index / params.width;
  let column = index - m * params.width;
  var sum = Cell();
  for (var k = m * params.named; k < (m + 1u) * params.named; k++) {
    sum += shares[k] * table[rows[k] * params.width + column];
  }
  out[index] = sum;
}
