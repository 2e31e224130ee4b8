// out = u + w (c - u): logits under classifier-free guidance, as `sample/sample` forms them.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> conditional: array<f32>;
@group(0) @binding(1) var<storage, read> unconditional: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;   // [1]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let u = unconditional[index];
  out[index] = u + weight[0] * (conditional[index] - u);
}
