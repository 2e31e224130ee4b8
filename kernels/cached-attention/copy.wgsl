// keys[r, i, :] = keys[source[r], i, :] and likewise values, for i < length[r]: a row of the cache takes over what another one begins with.
// A row that is taken from has length 0 itself, so that nobody reads what somebody writes. One thread per row and four channels; it walks along.
alias Entry = vec4<f32>;  // vec4<f16> for a cache in half precision

struct Params {
  rows: u32,
  width: u32,     // channels of a key, a multiple of 4
  capacity: u32,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read> length: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<Entry>;
@group(0) @binding(3) var<storage, read_write> values: array<Entry>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width / 4u;
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * width) { return; }
  let row = index / width;
  let channel = index % width;
  let count = min(length[row], params.capacity);
  let from_row = min(source[row], params.rows - 1u);
  for (var i = 0u; i < count; i++) {
    let from_index = (from_row * params.capacity + i) * width + channel;
    let target_index = (row * params.capacity + i) * width + channel;
    keys[target_index] = keys[from_index];
    values[target_index] = values[from_index];
  }
}
