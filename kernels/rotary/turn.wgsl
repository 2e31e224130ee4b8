// Rotary positions, half-split: with a = x[0:h], b = x[h:2h] of a head and t_j = position · θ^(−j/h), j < h:
// out = [a·cos t − direction·b·sin t ; b·cos t + direction·a·sin t]. direction −1 turns back: the gradient.
// With several axes pair j takes the position along its own axis. Contiguous: axis 1 begins with pair bound_1, axis 2 with bound_2.
// Interleaved: pair j is of axis j mod AXES while j < the bound of that axis, else of axis 0. Axial: contiguous, and every axis
// begins with the first frequency.
// One thread per row and four values of j; it serves all heads, so each sine is computed once.
// θ^(−j/h) is the product of the host's θ^(−2^k/h) over the bits k of j: exact powers, where pow() loses 1e-5.
//! use lib/sine.wgsl
const AXES: u32 = 1u;  // positions of a row, at most 3
const INTERLEAVED: bool = false;
const AXIAL: bool = false;

struct Params {
  rows: u32,
  heads: u32,
  half_width: u32,  // h, in vec4
  direction: f32,
  bound_1: u32,
  bound_2: u32,
  power_0: f32,     // θ^(−1/h)
  power_1: f32,     // θ^(−2/h)
  power_2: f32,     // θ^(−4/h) …
  power_3: f32,
  power_4: f32,
  power_5: f32,
  power_6: f32,
  power_7: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;  // [rows, AXES]
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

fn frequency(j: u32) -> f32 {
  var result = 1.0;
  if ((j & 1u) != 0u) { result *= params.power_0; }
  if ((j & 2u) != 0u) { result *= params.power_1; }
  if ((j & 4u) != 0u) { result *= params.power_2; }
  if ((j & 8u) != 0u) { result *= params.power_3; }
  if ((j & 16u) != 0u) { result *= params.power_4; }
  if ((j & 32u) != 0u) { result *= params.power_5; }
  if ((j & 64u) != 0u) { result *= params.power_6; }
  if ((j & 128u) != 0u) { result *= params.power_7; }
  return result;
}

fn turn_of(row: u32, pair: u32) -> vec2f {
  if (AXES == 1u) { return sine_cosine(f32(positions[row]) * frequency(pair)); }
  var axis = u32(pair >= params.bound_1) + u32(pair >= params.bound_2);
  if (INTERLEAVED) {
    axis = pair % AXES;
    if (pair >= select(params.bound_1, params.bound_2, axis == 2u)) { axis = 0u; }
  }
  let index = select(pair, pair - axis * params.bound_1, AXIAL);
  return sine_cosine(f32(positions[row * AXES + axis]) * frequency(index));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.half_width) { return; }
  let row = index / params.half_width;
  let column = index - row * params.half_width;
  let t0 = turn_of(row, column * 4u);
  let t1 = turn_of(row, column * 4u + 1u);
  let t2 = turn_of(row, column * 4u + 2u);
  let t3 = turn_of(row, column * 4u + 3u);
  let sine = vec4f(t0.x, t1.x, t2.x, t3.x) * params.direction;
  let cosine = vec4f(t0.y, t1.y, t2.y, t3.y);
  for (var head = 0u; head < params.heads; head++) {
    let first = (row * params.heads + head) * 2u * params.half_width + column;
    let second = first + params.half_width;
    let a = x[first];
    let b = x[second];
    out[first] = a * cosine - b * sine;
    out[second] = b * cosine + a * sine;
  }
}
