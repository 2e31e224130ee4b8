// AdamW (Loshchilov and Hutter 2019, algorithm 2), decoupled weight decay, over a whole arena in one launch:
//   g ← g · min(1, max_norm / (‖g‖ + 1e-6))
//   m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²
//   w ← w - lr · decay · w - lr · (m / (1-β₁ᵗ)) / (√(v / (1-β₂ᵗ)) + ε)
// Gradients are cleared here, so the next program accumulates from zero. A non-finite norm skips the update (report[1] = 0).
const flag_trainable = 1u;
const flag_decay = 2u;

// The moments hold only the blocks this kernel serves: the number of a block's place lies above its two flags.
const COMPACT: bool = false;

struct Params {
  elements: u32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  weight_decay: f32,
  max_norm: f32,  // ≤ 0: no clipping
}

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> first_moment: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> second_moment: array<vec4f>;
@group(0) @binding(4) var<storage, read> flags: array<u32>;
@group(0) @binding(5) var<storage, read> report: array<f32>;
@group(0) @binding(6) var<storage, read> schedule: array<f32>;  // lr, 1-β₁ᵗ, 1-β₂ᵗ
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index * 4u >= params.elements) { return; }
  let flag = flags[index / 16u];
  if ((flag & flag_trainable) == 0u) { return; }
  var place = index;
  if (COMPACT) { place = (flag >> 2u) * 16u + index % 16u; }
  var gradient = gradients[index];
  gradients[index] = vec4f();
  if (report[1] == 0.0) { return; }
  if (params.max_norm > 0.0) { gradient *= min(1.0, params.max_norm / (report[0] + 1e-6)); }
  let rate = schedule[0];
  let m = params.beta1 * first_moment[place] + (1.0 - params.beta1) * gradient;
  let v = params.beta2 * second_moment[place] + (1.0 - params.beta2) * gradient * gradient;
  first_moment[place] = m;
  second_moment[place] = v;
  var weight = weights[index];
  if ((flag & flag_decay) != 0u) { weight -= rate * params.weight_decay * weight; }
  weights[index] = weight - rate * (m / schedule[1]) / (sqrt(v / schedule[2]) + params.epsilon);
}
