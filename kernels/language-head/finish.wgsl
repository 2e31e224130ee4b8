// From state[m] = (top, Σ e, Σ e·(z − top), z of the target): out[m] = (log-probability, entropy) and normalizer[m] = (top, log Σ e),
// with which the backward makes probabilities again. One thread per row.
struct Params {
  rows: u32,
}

@group(0) @binding(0) var<storage, read> state: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> normalizer: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * 64u + thread;
  if (row >= params.rows) { return; }
  let value = state[row];
  let log_sum = log(value.y);
  out[row] = vec2f(value.w - value.x - log_sum, log_sum - value.z / value.y);
  normalizer[row] = vec2f(value.x, log_sum);
}
