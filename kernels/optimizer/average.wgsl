// average ← average + gain · (weight - average), trained blocks of an arena only; gain = 1 - decay, or 1 while averaging has not begun.
const flag_trainable = 1u;

struct Params {
  elements: u32,
}

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> average: array<vec4f>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.elements || (flags[index / 16u] & flag_trainable) == 0u) { return; }
  if (gain[0] == 1.0) {
    average[index] = weights[index];
  } else {
    average[index] += gain[0] * (weights[index] - average[index]);
  }
}
