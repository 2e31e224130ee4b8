// The same function as attend.wgsl for adapters with many threads: THREADS share one (row, head) and walk the keys in tiles of
// THREADS. In a tile a thread first scores one key; then, with the softmax carried on over tiles, it weighs four channels of every
// PARTS-th value, so that neighbors load neighboring channels and no thread holds a whole head. The order of sums is fixed by the
// head's width. One workgroup per (row, head).
alias Entry = vec4<f32>;   // vec4<f16> for a cache in half precision
const VECTORS: u32 = 8u;   // head dimension / 4, at most THREADS
const THREADS: u32 = 64u;
const PARTS: u32 = THREADS / VECTORS;

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

var<workgroup> query: array<vec4f, VECTORS>;
var<workgroup> shares: array<f32, THREADS>;
var<workgroup> sums: array<vec4f, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.y * groups.x + group.x;
  if (index >= params.rows * params.heads) { return; }
  let row = index / params.heads;
  let head = index % params.heads;
  let width = params.key_value_heads * VECTORS;
  let base = cache_rows[row] * params.capacity * width + head / (params.heads / params.key_value_heads) * VECTORS;
  let end = min(positions[row] + 1u, params.capacity);
  let channel = lane % VECTORS;
  let part = lane / VECTORS;
  if (lane < VECTORS) { query[lane] = q[index * VECTORS + lane] * params.scale; }
  workgroupBarrier();
  var maximum = -3.0e38;
  var total = 0.0;
  var sum = vec4f();
  for (var tile = 0u; tile < end; tile += THREADS) {
    let count = min(THREADS, end - tile);
    var score = -3.0e38;
    if (lane < count) {
      let at = base + (tile + lane) * width;
      var products = vec4f();
      for (var i = 0u; i < VECTORS; i++) { products += query[i] * vec4f(keys[at + i]); }
      score = products.x + products.y + products.z + products.w;
    }
    shares[lane] = score;
    workgroupBarrier();
    var highest = maximum;
    for (var i = 0u; i < count; i++) { highest = max(highest, shares[i]); }
    workgroupBarrier();
    // A thread without a key has the lowest score: its share underflows to 0.
    shares[lane] = exp(score - highest);
    workgroupBarrier();
    let keep = exp(maximum - highest);
    maximum = highest;
    total *= keep;
    sum *= keep;
    for (var i = 0u; i < count; i++) { total += shares[i]; }
    if (part < PARTS) {
      for (var i = part; i < count; i += PARTS) { sum += shares[i] * vec4f(values[base + (tile + i) * width + channel]); }
    }
    workgroupBarrier();
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < VECTORS) {
    var joined = vec4f();
    for (var i = 0u; i < PARTS; i++) { joined += sums[lane + i * VECTORS]; }
    out[index * VECTORS + lane] = joined / total;
  }
}
