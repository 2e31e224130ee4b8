// Rotary positions, interleaved, along one or two axes: pair j = (x[2j], x[2j + 1]) of a head, j < h, belongs to axis j / (h / axes) and
// turns by t = position along that axis · θ^(−k / (h / axes)), k = j mod (h / axes):
// out = (x[2j]·cos t − direction·x[2j+1]·sin t, x[2j+1]·cos t + direction·x[2j]·sin t). direction −1 turns back: the gradient.
// One thread per row and two pairs; it serves all heads, so each sine is computed once. Powers of θ as in turn.wgsl.
//! use lib/sine.wgsl
struct Params {
  rows: u32,
  heads: u32,
  width: u32,       // of a head, in vec4: h / 2
  axes: u32,        // positions of a row
  direction: f32,
  power_0: f32,     // θ^(−1 / (h / axes))
  power_1: f32,
  power_2: f32,
  power_3: f32,
  power_4: f32,
  power_5: f32,
  power_6: f32,
  power_7: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;  // [rows, axes]
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

fn frequency(k: u32) -> f32 {
  var result = 1.0;
  if ((k & 1u) != 0u) { result *= params.power_0; }
  if ((k & 2u) != 0u) { result *= params.power_1; }
  if ((k & 4u) != 0u) { result *= params.power_2; }
  if ((k & 8u) != 0u) { result *= params.power_3; }
  if ((k & 16u) != 0u) { result *= params.power_4; }
  if ((k & 32u) != 0u) { result *= params.power_5; }
  if ((k & 64u) != 0u) { result *= params.power_6; }
  if ((k & 128u) != 0u) { result *= params.power_7; }
  return result;
}

fn turn_of(row: u32, pair: u32) -> vec2f {
  let pairs = params.width * 2u / params.axes;
  let axis = pair / pairs;
  return sine_cosine(f32(positions[row * params.axes + axis]) * frequency(pair - axis * pairs));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.width) { return; }
  let row = index / params.width;
  let column = index - row * params.width;
  let first = turn_of(row, column * 2u);
  let second = turn_of(row, column * 2u + 1u);
  let sine = vec2f(first.x, second.x) * params.direction;
  let cosine = vec2f(first.y, second.y);
  for (var head = 0u; head < params.heads; head++) {
    let place = (row * params.heads + head) * params.width + column;
    let value = x[place];
    let a = value.xz * cosine - value.yw * sine;
    let b = value.yw * cosine + value.xz * sine;
    out[place] = vec4f(a.x, b.x, a.y, b.y);
  }
}
