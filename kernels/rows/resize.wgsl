// out[r, c] = x[r, c] where c < from, 0 elsewhere: rows of `from` columns as rows of `to` columns. One thread per element of out.
struct Params {
  count: u32,  // elements of out
  from: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let row = index / params.to;
  let column = index - row * params.to;
  // A column beyond `from` reads some element of x, which is then not taken.
  out[index] = select(0.0, x[row * params.from + min(column, params.from - 1u)], column < params.from);
}
