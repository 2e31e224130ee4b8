// Takes one chunk of every row's logits into state[m] = (top, Σ e, Σ e·(z − top), z of the target), e = exp(z − top) over the
// columns seen so far, z = clamp(logits / temperature, −limit, limit), f32 [M, columns]. The first chunk starts the state.
// LANES threads share a row.
//! use lib/rows/thread.wgsl as ROWS
//! use lib/broken.wgsl

const TEMPERATURE_IN_BUFFER: bool = false;

struct Params {
  rows: u32,
  columns: u32,      // of the chunk
  first: u32,        // column of the whole row at which the chunk starts
  temperature: f32,  // used unless TEMPERATURE_IN_BUFFER
  limit: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> temperature: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let safe_row = min(row, params.rows - 1u);
  let base = safe_row * params.columns;
  var sharpness = 1.0 / params.temperature;
  if (TEMPERATURE_IN_BUFFER) { sharpness = 1.0 / temperature[0]; }
  var before = vec4f();
  if (params.first > 0u) { before = state[safe_row]; }
  var largest = -3.0e38;
  var worst = 0u;
  for (var i = lane; i < params.columns; i += LANES) {
    largest = max(largest, logits[base + i]);
    worst = max(worst, broken_rank(logits[base + i]));
  }
  worst = row_max_word(worst, thread);
  var top = clamp(row_max(largest, thread) * sharpness, -params.limit, params.limit);
  if (params.first > 0u) { top = max(top, before.x); }
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
  if (params.first > 0u) {
    let drop = before.x - top;
    let power = exp(drop);
    sum += power * before.y;
    product += power * (before.z + drop * before.y);
  }
  var chosen = before.w;
  let target_column = targets[row] - params.first;  // wraps to a large number before the chunk
  if (target_column < params.columns) { chosen = clamp(logits[base + target_column] * sharpness, -params.limit, params.limit); }
  // A sum that is not a number stays one through all chunks.
  if (is_broken(worst)) { sum = broken_nan(worst); }
  state[row] = vec4f(top, sum, product, chosen);
}
