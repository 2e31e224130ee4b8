// out[r, c] = x[r, c] where c < width_in, 0 elsewhere: rows of `width_in` columns as rows of `width_out`. One thread per element of out.
struct Params {
  count: u32,  // elements of out
  width_in: u32,
  width_out: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let row = index / params.width_out;
  let column = index - row * params.width_out;
  // A column beyond them reads some element of x, which is then not taken.
  out[index] = select(0.0, x[row * params.width_in + min(column, params.width_in - 1u)], column < params.width_in);
}
