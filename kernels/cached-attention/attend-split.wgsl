// The same function as attend.wgsl for adapters with many threads: 64 threads share one (row, head). Each walks every 64th
// key with an online softmax of its own; then their maxima, sums and weighted values are joined through workgroup memory,
// in one fixed order.
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
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

var<workgroup> maxima: array<f32, 64>;
var<workgroup> shares: array<vec4f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group_index = group.y * groups.x + group.x;
  let is_real = group_index < params.rows * params.heads;
  let index = min(group_index, params.rows * params.heads - 1u);
  let row = index / params.heads;
  let head = index % params.heads;
  let width = params.key_value_heads * VECTORS;
  let base = slots[row] * params.capacity * width + head / (params.heads / params.key_value_heads) * VECTORS;
  let end = min(positions[row] + 1u, params.capacity);
  var query: array<vec4f, VECTORS>;
  var sum: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) {
    query[i] = q[index * VECTORS + i] * params.scale;
    sum[i] = vec4f();
  }
  var maximum = -3.0e38;
  var total = 0.0;
  for (var j = lane; j < end; j += 64u) {
    let at = base + j * width;
    var products = vec4f();
    for (var i = 0u; i < VECTORS; i++) { products += query[i] * vec4f(keys[at + i]); }
    let score = products.x + products.y + products.z + products.w;
    let next = max(maximum, score);
    let keep = exp(maximum - next);
    let share = exp(score - next);
    maximum = next;
    total = total * keep + share;
    for (var i = 0u; i < VECTORS; i++) { sum[i] = sum[i] * keep + share * vec4f(values[at + i]); }
  }
  maxima[lane] = maximum;
  workgroupBarrier();
  var highest = maxima[0];
  for (var i = 1u; i < 64u; i++) { highest = max(highest, maxima[i]); }
  // A thread without keys has maximum -3e38 and total 0: its factor underflows to 0.
  let factor = exp(maximum - highest);
  let all = join(vec4f(total * factor, 0.0, 0.0, 0.0), lane).x;
  for (var i = 0u; i < VECTORS; i++) {
    let joined = join(sum[i] * factor, lane);
    if (lane == 0u && is_real) { out[index * VECTORS + i] = joined / all; }
  }
}

// The sum over the 64 threads, valid in thread 0.
fn join(value: vec4f, lane: u32) -> vec4f {
  workgroupBarrier();
  shares[lane] = value;
  for (var stride = 32u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { shares[lane] += shares[lane + stride]; }
  }
  workgroupBarrier();
  return shares[0];
}
