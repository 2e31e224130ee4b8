// Turns a chunk of logits into the derivative of the loss by them, in place:
// logits[m, j] ← (a·([j is the target] − p) − b·p·(log p + H)) / temperature, (a, b) = d_out[m], H = out[m].y; 0 where the clamp cut.
// One workgroup per row and 256 columns.
//! use lib/broken.wgsl
const TEMPERATURE_IN_BUFFER: bool = false;

struct Params {
  rows: u32,
  columns: u32,      // of the chunk
  first: u32,        // column of the whole row at which the chunk starts
  temperature: f32,  // used unless TEMPERATURE_IN_BUFFER
  limit: f32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> temperature: array<f32>;
@group(0) @binding(3) var<storage, read> out: array<vec2f>;
@group(0) @binding(4) var<storage, read> normalizer: array<vec2f>;
@group(0) @binding(5) var<storage, read> d_out: array<vec2f>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let runs = (params.columns + 255u) / 256u;
  let index = group.y * groups.x + group.x;
  let row = index / runs;
  if (row >= params.rows) { return; }
  let start = (index - row * runs) * 256u;
  let base = row * params.columns;
  var sharpness = 1.0 / params.temperature;
  if (TEMPERATURE_IN_BUFFER) { sharpness = 1.0 / temperature[0]; }
  let aim = targets[row] - params.first;  // wraps to a large number before the chunk
  let entropy = out[row].y;
  let norm = normalizer[row];
  let slope = d_out[row];
  for (var j = start + lane; j < min(start + 256u, params.columns); j += 64u) {
    let raw = logits[base + j] * sharpness;
    let log_p = (clamp(raw, -params.limit, params.limit) - norm.x) - norm.y;
    let p = exp(log_p);
    let d = slope.x * (select(0.0, 1.0, j == aim) - p) - slope.y * p * (log_p + entropy);
    logits[base + j] = select(d * sharpness, 0.0, abs(raw) > params.limit && !is_broken(broken_rank(entropy)));
  }
}
