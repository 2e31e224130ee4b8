// out[m · named + k, :] = shares[m, k] · d_out[m, :], f32 [M · named, width]: what each named row of the table gets. One thread per four columns of a row of out.
alias Cell = vec4f;  // f32 where a row is no whole number of vectors
struct Params {
  count: u32,  // M · named
  named: u32,
  width: u32,  // columns, in cells
}

@group(0) @binding(0) var<storage, read> d_out: array<Cell>;
@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<Cell>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let entry = index / params.width;
  out[index] = shares[entry] * d_out[entry / params.named * params.width + index - entry * params.width];
}
