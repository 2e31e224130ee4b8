// out[m] = (log p[target], H) of p = softmax(z), z = clamp(logits / temperature, −limit, limit), f32 [M, V].
// H = log Σ e − Σ e·(z − max) / Σ e with e = exp(z − max): no probability is stored and no log of a small one taken.
// LANES threads share a row; two passes over it.
//! use lib/rows/thread.wgsl as ROWS
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
@group(0) @binding(3) var<storage, read_write> out: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let base = min(row, params.rows - 1u) * params.columns;
  var sharpness = 1.0 / params.temperature;
  if (TEMPERATURE_IN_BUFFER) { sharpness = 1.0 / temperature[0]; }
  var largest = -3.0e38;
  var worst = 0u;
  for (var i = lane; i < params.columns; i += LANES) {
    largest = max(largest, logits[base + i]);
    worst = max(worst, broken_rank(logits[base + i]));
  }
  worst = row_max_word(worst, thread);
  let top = clamp(row_max(largest, thread) * sharpness, -params.limit, params.limit);
  var sum = 0.0;
  var product = 0.0;
  for (var i = lane; i < params.columns; i += LANES) {
    let below = clamp(logits[base + i] * sharpness, -params.limit, params.limit) - top;
    let power = exp(below);
    sum += power;
    product += power * below;
  }
  sum = row_add(sum, thread);
  product = row_add(product, thread);
  if (row >= params.rows || lane != 0u) { return; }
  if (is_broken(worst)) { sum = broken_nan(worst); }
  let log_sum = log(sum);
  let chosen = clamp(logits[base + targets[row]] * sharpness, -params.limit, params.limit);
  out[row] = vec2f(chosen - top - log_sum, log_sum - product / sum);
}
