// d_in = share · d_out, share = w for the conditional branch and 1 - w for the unconditional one.
const CONDITIONAL: bool = true;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;   // [1]
@group(0) @binding(1) var<storage, read> d_out: array<f32>;
@group(0) @binding(2) var<storage, read_write> d_in: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let share = select(1.0 - weight[0], weight[0], CONDITIONAL);
  d_in[index] = share * d_out[index];
}
