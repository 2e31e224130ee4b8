// dV[j] = Σ p · dOut[n, h]; dK[j] = scale · Σ p · (dOut[n, h]·v[j] − delta) · q[n, h], over the rows n that see key j and the heads h
// of its group, p = exp(scale · q·k[j] − log_sum): a gather, head by head, rows in rising order: deterministic without atomics.
// One thread per key and key/value head, HEAD % 4 == 0. The portable sibling of key-value-gradient-broadcast.
//! use lib/ordered-dot.wgsl
const HEAD: u32 = 32u;
// A GPU keeps the arrays in registers when the loops unroll; a software adapter would only compile ten times longer.
const UNROLL: bool = false;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head
  heads: u32,
  kv_heads: u32,
  causal: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read> segment_end: array<u32>;
@group(0) @binding(6) var<storage, read_write> d_k: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> d_v: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.kv_heads) { return; }
  let width = select(params.width, WIDTH, UNROLL);
  let kv_head = index / params.rows;
  let row = index - kv_head * params.rows;
  let kv_base = (row * params.kv_heads + kv_head) * WIDTH;
  let group_size = params.heads / params.kv_heads;
  var key: array<vec4f, WIDTH>;
  var value: array<vec4f, WIDTH>;
  var key_gradient: array<vec4f, WIDTH>;
  var value_gradient: array<vec4f, WIDTH>;
  for (var c = 0u; c < width; c++) {
    key[c] = k[kv_base + c] * params.scale;
    value[c] = v[kv_base + c];
  }
  let first = select(statistics[row * params.heads].z, row, params.causal == 1u);
  let end = segment_end[row];
  for (var head = kv_head * group_size; head < (kv_head + 1u) * group_size; head++) {
    for (var n = first; n < end; n++) {
      let other = statistics[n * params.heads + head];
      let base = (n * params.heads + head) * WIDTH;
      var score = 0.0;
      var dp = 0.0;
      for (var c = 0u; c < width; c++) {
        score += ordered_dot(key[c], q[base + c]);
        dp += ordered_dot(value[c], d_out[base + c]);
      }
      let p = exp(score - bitcast<f32>(other.x));
      let ds = p * (dp - bitcast<f32>(other.y));
      for (var c = 0u; c < width; c++) {
        value_gradient[c] += p * d_out[base + c];
        key_gradient[c] += ds * q[base + c];
      }
    }
  }
  for (var c = 0u; c < width; c++) {
    d_k[kv_base + c] = key_gradient[c] * params.scale;
    d_v[kv_base + c] = value_gradient[c];
  }
}
