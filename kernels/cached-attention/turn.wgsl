// One decode step's way from projections to attention in one launch: out[r] = q[r] turned to positions[r]; k[r] turned likewise and
// v[r] as it is go into the cache at (cache_rows[r], positions[r]). The turn is that of rotary/turn.wgsl, half-split, in the same order
// of operations. A position outside the cache writes nothing there.
// q, k and v may be parts of one row: each has its own row stride and first column.
// One thread per row, block of heads and four channels of the first half: PER_THREAD heads of q and of k share its sines.
//! use lib/sine.wgsl
alias Entry = vec4<f32>;      // vec4<f16> for a cache in half precision
const PER_THREAD: u32 = 64u;  // heads a thread serves: all on a software adapter, one elsewhere

struct Params {
  rows: u32,
  heads: u32,
  key_value_heads: u32,
  half_width: u32,  // half a head, in vec4
  capacity: u32,
  q_stride: u32,    // of rows, in vec4
  k_stride: u32,
  v_stride: u32,
  k_first: u32,     // first column, in vec4
  v_first: u32,
  power_0: f32,     // θ^(−1/h), h half a head; see rotary/turn.wgsl
  power_1: f32,
  power_2: f32,
  power_3: f32,
  power_4: f32,
  power_5: f32,
  power_6: f32,
  power_7: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> keys: array<Entry>;
@group(0) @binding(7) var<storage, read_write> values: array<Entry>;
@group(0) @binding(8) var<uniform> params: Params;

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let half_width = params.half_width;
  let blocks = (params.heads + PER_THREAD - 1u) / PER_THREAD;
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * blocks * half_width) { return; }
  let column = index % half_width;
  let block = index / half_width % blocks;
  let row = index / half_width / blocks;
  let position = positions[row];
  let t0 = sine_cosine(f32(position) * frequency(column * 4u));
  let t1 = sine_cosine(f32(position) * frequency(column * 4u + 1u));
  let t2 = sine_cosine(f32(position) * frequency(column * 4u + 2u));
  let t3 = sine_cosine(f32(position) * frequency(column * 4u + 3u));
  let sine = vec4f(t0.x, t1.x, t2.x, t3.x);
  let cosine = vec4f(t0.y, t1.y, t2.y, t3.y);
  let first_head = block * PER_THREAD;
  let q_row = row * params.q_stride;
  let out_row = row * params.heads * 2u * half_width;
  for (var head = first_head; head < min(first_head + PER_THREAD, params.heads); head++) {
    let at = head * 2u * half_width + column;
    let a = q[q_row + at];
    let b = q[q_row + at + half_width];
    out[out_row + at] = a * cosine - b * sine;
    out[out_row + at + half_width] = b * cosine + a * sine;
  }
  if (position >= params.capacity) { return; }
  let k_row = row * params.k_stride + params.k_first;
  let v_row = row * params.v_stride + params.v_first;
  let target_row = (cache_rows[row] * params.capacity + position) * params.key_value_heads * 2u * half_width;
  for (var head = first_head; head < min(first_head + PER_THREAD, params.key_value_heads); head++) {
    let at = head * 2u * half_width + column;
    let a = k[k_row + at];
    let b = k[k_row + at + half_width];
    keys[target_row + at] = Entry(a * cosine - b * sine);
    keys[target_row + at + half_width] = Entry(b * cosine + a * sine);
    values[target_row + at] = Entry(v[v_row + at]);
    values[target_row + at + half_width] = Entry(v[v_row + at + half_width]);
  }
}
