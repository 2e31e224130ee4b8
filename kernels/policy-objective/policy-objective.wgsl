// Per token m with weight w: loss = w (max(-A ρ, -A clip(ρ, 1 - low, 1 + high)) + c H + β k3), ρ = exp(l - l_old),
// k3 = exp(d) - d - 1 with d = l_ref - l. Writes its derivative by (l, H), and (objective, clipped, ρ, k3) for the metrics.
// One thread per token.
//
// dloss/dl = w ([unclipped is the larger] (-A ρ) + β (1 - exp(d))); dloss/dH = w c.
// Care: l - l_old is cut to ± 20 before exp. Beyond d = 10 k3 goes on as a straight line, so it and its slope stay finite;
// near 0 it is a series, because exp(d) - d - 1 cancels. A token of weight 0 gives exact zeros, whatever its inputs are.
const HAS_REFERENCE: bool = false;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> scored: array<vec2f>;     // (l, H)
@group(0) @binding(1) var<storage, read> old: array<f32>;
@group(0) @binding(2) var<storage, read> advantage: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> reference: array<f32>;
@group(0) @binding(5) var<storage, read> settings: array<vec4f>;   // low, high, c, β
@group(0) @binding(6) var<storage, read_write> d_out: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> stats: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

// (k3, its derivative by l)
fn divergence(d: f32) -> vec2f {
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
  let w = weight[index];
  if (w == 0.0) {
    d_out[index] = vec2f();
    stats[index] = vec4f();
    return;
  }
  let limits = settings[0];
  let log_probability = scored[index].x;
  let a = advantage[index];
  let ratio = exp(clamp(log_probability - old[index], -20.0, 20.0));
  let free = -a * ratio;
  let bound = -a * clamp(ratio, 1.0 - limits.x, 1.0 + limits.y);
  let is_clipped = bound > free;
  var slope = select(free, 0.0, is_clipped);
  var kl = vec2f();
  if (HAS_REFERENCE) {
    kl = divergence(reference[index] - log_probability);
    slope += limits.w * kl.y;
  }
  d_out[index] = w * vec2f(slope, limits.z);
  stats[index] = vec4f(max(free, bound), select(0.0, 1.0, is_clipped), ratio, kl.x);
}
