// Muon's second half for one matrix: w ← w - lr · decay · w - lr · scale · direction. A non-finite norm skips the update.
struct Params {
  count: u32,
  weight_decay: f32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<vec4f>;
@group(0) @binding(1) var<storage, read> direction: array<vec4f>;
@group(0) @binding(2) var<storage, read> report: array<f32>;
@group(0) @binding(3) var<storage, read> schedule: array<f32>;  // lr
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.count || report[1] == 0.0) { return; }
  let rate = schedule[0];
  let value = weight[index];
  weight[index] = value - rate * params.weight_decay * value - rate * params.scale * direction[index];
}
