// keys[r, i, :] = k[source[r] + i, :] and values[r, i, :] = v[source[r] + i, :] for i < length[r]: spreads packed prompts
// over the rows that continue them. One thread per row and four channels; it walks along the prompt.
alias Entry = vec4<f32>;  // vec4<f16> for a cache in half precision

struct Params {
  rows: u32,
  width: u32,     // channels of a key, a multiple of 4
  capacity: u32,
  tokens: u32,    // packed rows in k and v
}

@group(0) @binding(0) var<storage, read> k: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<vec4f>;
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read> length: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<Entry>;
@group(0) @binding(5) var<storage, read_write> values: array<Entry>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width / 4u;
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.rows * width) { return; }
  let row = index / width;
  let channel = index % width;
  let first = source[row];
  let count = min(min(length[row], params.capacity), params.tokens - min(first, params.tokens));
  for (var i = 0u; i < count; i++) {
    let from_index = (first + i) * width + channel;
    let target_index = (row * params.capacity + i) * width + channel;
    keys[target_index] = Entry(k[from_index]);
    values[target_index] = Entry(v[from_index]);
  }
}
