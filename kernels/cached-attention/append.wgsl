// keys[cache_row, position, :] = k[r, :] and values[cache_row, position, :] = v[r, :] with cache_row = cache_rows[r], position = positions[r].
// One thread per row and four channels. A position outside the cache writes nothing.
alias Entry = vec4<f32>;  // vec4<f16> for a cache in half precision

struct Params {
  rows: u32,
  width: u32,     // channels of a key, a multiple of 4
  capacity: u32,
}

@group(0) @binding(0) var<storage, read> k: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<vec4f>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<Entry>;
@group(0) @binding(5) var<storage, read_write> values: array<Entry>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width / 4u;
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * width) { return; }
  let row = index / width;
  let position = positions[row];
  if (position >= params.capacity) { return; }
  let target_index = (cache_rows[row] * params.capacity + position) * width + index % width;
  keys[target_index] = Entry(k[index]);
  values[target_index] = Entry(v[index]);
}
