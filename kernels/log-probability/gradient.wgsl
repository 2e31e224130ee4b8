// dLogits[m, j] = (dLogp · ([j = target] − p_j) − dH · p_j · (log p_j + H)) / temperature, zero where z_j was clamped.
// log p_j = z_j − (z_target − logp), so the forward's (logp, H) is all that is kept. One workgroup per row.
//! use lib/broken.wgsl
const TEMPERATURE_IN_BUFFER: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  temperature: f32,  // used unless TEMPERATURE_IN_BUFFER
  limit: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> temperature: array<f32>;
@group(0) @binding(3) var<storage, read> out: array<vec2f>;
@group(0) @binding(4) var<storage, read> d_out: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let base = row * params.columns;
  var sharpness = 1.0 / params.temperature;
  if (TEMPERATURE_IN_BUFFER) { sharpness = 1.0 / temperature[0]; }
  let aim = targets[row];
  let value = out[row];
  let slope = d_out[row];
  let log_sum = clamp(logits[base + aim] * sharpness, -params.limit, params.limit) - value.x;
  for (var j = lane; j < params.columns; j += 64u) {
    let raw = logits[base + j] * sharpness;
    let log_p = clamp(raw, -params.limit, params.limit) - log_sum;
    let p = exp(log_p);
    let d = slope.x * (select(0.0, 1.0, j == aim) - p) - slope.y * p * (log_p + value.y);
    d_logits[base + j] = select(d * sharpness, 0.0, abs(raw) > params.limit && !is_broken(broken_rank(value.y)));
  }
}
