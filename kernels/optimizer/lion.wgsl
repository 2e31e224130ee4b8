// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms") with decoupled weight decay over a whole arena:
//   g ← g · min(1, max_norm / (‖g‖ + 1e-6))
//   w ← w - lr · decay · w - lr · sign(β₁m + (1-β₁)g),  m ← β₂m + (1-β₂)g
// Gradients are cleared here. A non-finite norm skips the update.
const flag_trainable = 1u;
const flag_decay = 2u;

struct Params {
  elements: u32,
  beta1: f32,
  beta2: f32,
  weight_decay: f32,
  max_norm: f32,  // ≤ 0: no clipping
}

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> momentum: array<vec4f>;
@group(0) @binding(3) var<storage, read> flags: array<u32>;
@group(0) @binding(4) var<storage, read> report: array<f32>;
@group(0) @binding(5) var<storage, read> schedule: array<f32>;  // lr
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.elements) { return; }
  let flag = flags[index / 16u];
  if ((flag & flag_trainable) == 0u) { return; }
  var gradient = gradients[index];
  gradients[index] = vec4f();
  if (report[1] == 0.0) { return; }
  if (params.max_norm > 0.0) { gradient *= min(1.0, params.max_norm / (report[0] + 1e-6)); }
  let m = momentum[index];
  momentum[index] = params.beta2 * m + (1.0 - params.beta2) * gradient;
  var weight = weights[index];
  if ((flag & flag_decay) != 0u) { weight -= schedule[0] * params.weight_decay * weight; }
  weights[index] = weight - schedule[0] * sign(params.beta1 * m + (1.0 - params.beta1) * gradient);
}
