// out[n, :] = (x[n, :] − mean) · scale · weight + bias, scale = 1 / sqrt(variance + ε), f32, width % 4 == 0; statistics[n] = (mean, scale).
// The variance is summed around the mean, so a large mean costs no digits.
// One subgroup of LANES lanes per row, 64 / LANES rows per workgroup.
enable subgroups;

const LANES: u32 = 8u;

struct Params {
  rows: u32,
  width: u32,  // columns, in vec4
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  let safe_row = min(row, params.rows - 1u);
  let base = safe_row * params.width;
  let count = f32(params.width * 4u);
  var sum = 0.0;
  for (var i = lane; i < params.width; i += LANES) { sum += dot(x[base + i], vec4f(1.0)); }
  let mean = subgroupAdd(sum) / count;
  var squares = 0.0;
  for (var i = lane; i < params.width; i += LANES) {
    let value = x[base + i] - mean;
    squares += dot(value, value);
  }
  let scale = inverseSqrt(subgroupAdd(squares) / count + params.epsilon);
  if (row >= params.rows) { return; }
  for (var i = lane; i < params.width; i += LANES) { out[base + i] = (x[base + i] - mean) * scale * weight[i] + bias[i]; }
  if (lane == 0u) { statistics[row] = vec2f(mean, scale); }
}
