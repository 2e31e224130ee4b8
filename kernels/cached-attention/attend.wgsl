// out[r, h, :] = Σ_j softmax_j(q[r, h, :] · keys[s, j, g, :] · scale) values[s, j, g, :] over j = 0 … positions[r],
// with s = cache_rows[r], g = h / (heads / keyValueHeads). One thread per (row, head) walks the keys with an online softmax: running maximum,
// sum and weighted values in registers. No workgroup memory and no barrier, and every key and value is loaded exactly once
// per head, which is what a software adapter pays for. A row's result depends on that row only.
const VECTORS: u32 = 8u;   // head dimension / 4
alias Entry = vec4<f32>;   // vec4<f16> for a cache in half precision

struct Params {
  rows: u32,
  heads: u32,
  key_value_heads: u32,
  capacity: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<Entry>;
@group(0) @binding(2) var<storage, read> values: array<Entry>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 32u + lane;
  if (index >= params.rows * params.heads) { return; }
  let row = index / params.heads;
  let head = index % params.heads;
  let width = params.key_value_heads * VECTORS;
  var at = cache_rows[row] * params.capacity * width + head / (params.heads / params.key_value_heads) * VECTORS;
  let end = min(positions[row] + 1u, params.capacity);
  // Loops that begin where only a launch knows are not unrolled, and what they hold is compiled once. Arrays that such a loop indexes lie in memory:
  // the walk over the keys has its own.
  let first = index * VECTORS;
  var loaded: array<vec4f, VECTORS>;
  for (var place = first; place < first + VECTORS; place++) { loaded[place - first] = q[place]; }
  var query: array<vec4f, VECTORS>;
  var sum: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) {
    query[i] = loaded[i] * params.scale;
    sum[i] = vec4f();
  }
  var maximum = -3.0e38;
  var total = 0.0;
  for (var j = 0u; j < end; j++) {
    var products = vec4f();
    for (var i = 0u; i < VECTORS; i++) { products += query[i] * vec4f(keys[at + i]); }
    let score = products.x + products.y + products.z + products.w;
    let next = max(maximum, score);
    let keep = exp(maximum - next);
    let share = exp(score - next);
    maximum = next;
    total = total * keep + share;
    for (var i = 0u; i < VECTORS; i++) { sum[i] = sum[i] * keep + share * vec4f(values[at + i]); }
    at += width;
  }
  var results: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) { results[i] = sum[i] / total; }
  for (var place = first; place < first + VECTORS; place++) { out[place] = results[place - first]; }
}
