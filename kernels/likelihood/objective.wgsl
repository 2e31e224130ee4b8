// Derivative of the loss of supervised fine-tuning by the log-probability l of each target:
//   loss = Σ -weight · l + divergence_weight · k3,   k3 = exp(r - l) - (r - l) - 1   (Schulman 2020), r from the reference
// d_out[i] = (∂ loss / ∂ l, 0); k3 itself goes to divergences. The difference r - l is cut to ±20, so that exp cannot overflow.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> scored: array<vec2f>;  // log-probability, entropy
@group(0) @binding(1) var<storage, read> terms: array<vec4f>;  // weight, log-probability under the reference, divergence weight, 0
@group(0) @binding(2) var<storage, read_write> d_out: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> divergences: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.count) { return; }
  let term = terms[i];
  var derivative = -term.x;
  var divergence = 0.0;
  if (term.z != 0.0) {
    let difference = clamp(term.y - scored[i].x, -20.0, 20.0);
    let ratio = exp(difference);
    divergence = ratio - difference - 1.0;
    derivative += term.z * (1.0 - ratio);
  }
  d_out[i] = vec2f(derivative, 0.0);
  divergences[i] = divergence;
}
