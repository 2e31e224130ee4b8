// Per token with log-probability l, entropy H and weights w: loss = w_policy P + w_entropy c H + w_kl β K. One thread per token.
// Writes its derivative by (l, H), and (P, clipped, ratio, K) for the metrics. A token that is not counted gives exact zeros.
//
// ratio ρ = exp(l - l_old); with METHOD sequence it is the geometric mean over the token's sequence (GSPO).
// clip, sequence: P = max(-A ρ, -A clip(ρ, 1 - low, 1 + high)), with a dual bound D > 0 and A < 0 at most -A D; dP/dl = -A ρ where
//   no bound holds, 0 elsewhere. A sequence's mean divides its derivative by the sequence's length: that is in w_policy.
// cispo: P = -A [clip(ρ)] l, the bracket held constant; dP/dl = -A clip(ρ): no token falls silent.
// K with d = l_ref - l: k1 = -d, k2 = d² / 2, k3 = exp(d) - d - 1; dK/dl = 1, -d, 1 - exp(d).
//
// Care: l - l_old is cut to ± 20 before exp. Beyond d = 10 k3 goes on as a straight line, so it and its slope stay finite;
// near 0 it is a series, because exp(d) - d - 1 cancels.
struct Params {
  count: u32,
  method: u32,   // 0 clip, 1 sequence, 2 cispo
  estimator: u32, // of the divergence: 1, 2, 3
}

@group(0) @binding(0) var<storage, read> scored: array<vec2f>;     // (l, H)
@group(0) @binding(1) var<storage, read> terms: array<vec4f>;      // l_old, A, l_ref, number of the sequence
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;    // policy, entropy, divergence, 1 where counted
@group(0) @binding(3) var<storage, read> settings: array<vec4f>;   // (low, high, c, β), (D or 0, -, -, -)
@group(0) @binding(4) var<storage, read> sequences: array<f32>;    // log of the ratio of each sequence; read for METHOD sequence
@group(0) @binding(5) var<storage, read_write> d_out: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

// (K, its derivative by l)
fn divergence(d: f32) -> vec2f {
  if (params.estimator == 1u) { return vec2f(-d, 1.0); }
  if (params.estimator == 2u) { return vec2f(0.5 * d * d, -d); }
  if (abs(d) < 0.25) {
    let value = d * d * (0.5 + d * (1.0 / 6.0 + d * (1.0 / 24.0 + d * (1.0 / 120.0 + d * (1.0 / 720.0 + d / 5040.0)))));
    return vec2f(value, -(value + d));
  }
  let power = exp(min(d, 10.0));
  return vec2f(power * (1.0 + max(d - 10.0, 0.0)) - d - 1.0, 1.0 - power);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let w = weights[index];
  if (w.w == 0.0) {
    d_out[index] = vec2f();
    stats[index] = vec4f();
    return;
  }
  let limits = settings[0];
  let dual = settings[1].x;
  let term = terms[index];
  let log_probability = scored[index].x;
  let a = term.y;
  var difference = log_probability - term.x;
  if (params.method == 1u) { difference = sequences[u32(term.w)]; }
  let ratio = exp(clamp(difference, -20.0, 20.0));
  let bounded = clamp(ratio, 1.0 - limits.x, 1.0 + limits.y);
  let free = -a * ratio;
  let bound = -a * bounded;
  var is_clipped = bound > free;
  var value = max(free, bound);
  var slope = select(free, 0.0, is_clipped);
  if (dual > 0.0 && a < 0.0 && value > -a * dual) {
    is_clipped = true;
    value = -a * dual;
    slope = 0.0;
  }
  if (params.method == 2u) {
    is_clipped = ratio != bounded;
    value = bound * log_probability;
    slope = bound;
  }
  let kl = divergence(term.z - log_probability);
  d_out[index] = vec2f(w.x * slope + w.z * limits.w * kl.y, w.y * limits.z);
  stats[index] = vec4f(value, select(0.0, 1.0, is_clipped), ratio, kl.x);
}
