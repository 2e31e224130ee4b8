// out[M,N] (+)= x[M,K] · weight[N,K]ᵀ (+ bias[N]), f32: nt-broadcast-16 for many rows. 32 rows × 32 columns per subgroup of exactly eight
// lanes; a lane owns four neighboring columns, so that it stores vec4. Twice the rows share what is loaded of the weight, which is what a
// software adapter spends most on. Sums run in the order of nt-broadcast-16: same bits. Needs K % 4 == 0 and N % 4 == 0.
// GATED: the first half of weight's rows makes gates, the other half what they gate: out[M,N/2] = silu(gates) · ups; a lane owns two of each.
enable subgroups;
//! use lib/swiglu.wgsl

const HAS_BIAS: bool = false;
const ACCUMULATE: bool = false;
const GATED: bool = false;

struct Params {
  rows: u32,     // M
  columns: u32,  // N
  inner: u32,    // K
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, columns: u32, column: u32, value: vec4f) {
  if (row >= params.rows) { return; }
  let index = row * columns + column;
  if (GATED) {
    out[index] = swiglu(value.xyxy, value.zwzw).xy;
    return;
  }
  var result = value;
  if (HAS_BIAS) { result += bias[column]; }
  if (ACCUMULATE) { result += vec4f(out[2u * index], out[2u * index + 1u]); }
  out[2u * index] = result.xy;
  out[2u * index + 1u] = result.zw;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let inner = params.inner / 4u;
  let columns = params.columns / 4u;
  let row = (group.z * 65535u + group.y) * 32u;
  let column = group.x * 8u + lane;
  let last_row = params.rows - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner;
  let row_base1 = min(row + 8u + lane, last_row) * inner;
  let row_base2 = min(row + 16u + lane, last_row) * inner;
  let row_base3 = min(row + 24u + lane, last_row) * inner;
  let first = min(column, columns - 1u);
  let near = first * select(4u, 2u, GATED) * inner;
  let far = near + select(2u, params.columns / 2u, GATED) * inner;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
  var s8 = vec4f();
  var s9 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  var s14 = vec4f();
  var s15 = vec4f();
  var s16 = vec4f();
  var s17 = vec4f();
  var s18 = vec4f();
  var s19 = vec4f();
  var s20 = vec4f();
  var s21 = vec4f();
  var s22 = vec4f();
  var s23 = vec4f();
  var s24 = vec4f();
  var s25 = vec4f();
  var s26 = vec4f();
  var s27 = vec4f();
  var s28 = vec4f();
  var s29 = vec4f();
  var s30 = vec4f();
  var s31 = vec4f();
  for (var k = 0u; k < inner; k++) {
    let a0 = x[row_base0 + k]; let a1 = x[row_base1 + k]; let a2 = x[row_base2 + k]; let a3 = x[row_base3 + k];
    let w0 = weight[near + k]; let w1 = weight[near + inner + k];
    let w2 = weight[far + k]; let w3 = weight[far + inner + k];
    let wx = vec4f(w0.x, w1.x, w2.x, w3.x);
    let wy = vec4f(w0.y, w1.y, w2.y, w3.y);
    let wz = vec4f(w0.z, w1.z, w2.z, w3.z);
    let ww = vec4f(w0.w, w1.w, w2.w, w3.w);
    s0 += subgroupBroadcast(a0.x, 0u) * wx; s0 += subgroupBroadcast(a0.y, 0u) * wy; s0 += subgroupBroadcast(a0.z, 0u) * wz; s0 += subgroupBroadcast(a0.w, 0u) * ww;
    s1 += subgroupBroadcast(a0.x, 1u) * wx; s1 += subgroupBroadcast(a0.y, 1u) * wy; s1 += subgroupBroadcast(a0.z, 1u) * wz; s1 += subgroupBroadcast(a0.w, 1u) * ww;
    s2 += subgroupBroadcast(a0.x, 2u) * wx; s2 += subgroupBroadcast(a0.y, 2u) * wy; s2 += subgroupBroadcast(a0.z, 2u) * wz; s2 += subgroupBroadcast(a0.w, 2u) * ww;
    s3 += subgroupBroadcast(a0.x, 3u) * wx; s3 += subgroupBroadcast(a0.y, 3u) * wy; s3 += subgroupBroadcast(a0.z, 3u) * wz; s3 += subgroupBroadcast(a0.w, 3u) * ww;
    s4 += subgroupBroadcast(a0.x, 4u) * wx; s4 += subgroupBroadcast(a0.y, 4u) * wy; s4 += subgroupBroadcast(a0.z, 4u) * wz; s4 += subgroupBroadcast(a0.w, 4u) * ww;
    s5 += subgroupBroadcast(a0.x, 5u) * wx; s5 += subgroupBroadcast(a0.y, 5u) * wy; s5 += subgroupBroadcast(a0.z, 5u) * wz; s5 += subgroupBroadcast(a0.w, 5u) * ww;
    s6 += subgroupBroadcast(a0.x, 6u) * wx; s6 += subgroupBroadcast(a0.y, 6u) * wy; s6 += subgroupBroadcast(a0.z, 6u) * wz; s6 += subgroupBroadcast(a0.w, 6u) * ww;
    s7 += subgroupBroadcast(a0.x, 7u) * wx; s7 += subgroupBroadcast(a0.y, 7u) * wy; s7 += subgroupBroadcast(a0.z, 7u) * wz; s7 += subgroupBroadcast(a0.w, 7u) * ww;
    s8 += subgroupBroadcast(a1.x, 0u) * wx; s8 += subgroupBroadcast(a1.y, 0u) * wy; s8 += subgroupBroadcast(a1.z, 0u) * wz; s8 += subgroupBroadcast(a1.w, 0u) * ww;
    s9 += subgroupBroadcast(a1.x, 1u) * wx; s9 += subgroupBroadcast(a1.y, 1u) * wy; s9 += subgroupBroadcast(a1.z, 1u) * wz; s9 += subgroupBroadcast(a1.w, 1u) * ww;
    s10 += subgroupBroadcast(a1.x, 2u) * wx; s10 += subgroupBroadcast(a1.y, 2u) * wy; s10 += subgroupBroadcast(a1.z, 2u) * wz; s10 += subgroupBroadcast(a1.w, 2u) * ww;
    s11 += subgroupBroadcast(a1.x, 3u) * wx; s11 += subgroupBroadcast(a1.y, 3u) * wy; s11 += subgroupBroadcast(a1.z, 3u) * wz; s11 += subgroupBroadcast(a1.w, 3u) * ww;
    s12 += subgroupBroadcast(a1.x, 4u) * wx; s12 += subgroupBroadcast(a1.y, 4u) * wy; s12 += subgroupBroadcast(a1.z, 4u) * wz; s12 += subgroupBroadcast(a1.w, 4u) * ww;
    s13 += subgroupBroadcast(a1.x, 5u) * wx; s13 += subgroupBroadcast(a1.y, 5u) * wy; s13 += subgroupBroadcast(a1.z, 5u) * wz; s13 += subgroupBroadcast(a1.w, 5u) * ww;
    s14 += subgroupBroadcast(a1.x, 6u) * wx; s14 += subgroupBroadcast(a1.y, 6u) * wy; s14 += subgroupBroadcast(a1.z, 6u) * wz; s14 += subgroupBroadcast(a1.w, 6u) * ww;
    s15 += subgroupBroadcast(a1.x, 7u) * wx; s15 += subgroupBroadcast(a1.y, 7u) * wy; s15 += subgroupBroadcast(a1.z, 7u) * wz; s15 += subgroupBroadcast(a1.w, 7u) * ww;
    s16 += subgroupBroadcast(a2.x, 0u) * wx; s16 += subgroupBroadcast(a2.y, 0u) * wy; s16 += subgroupBroadcast(a2.z, 0u) * wz; s16 += subgroupBroadcast(a2.w, 0u) * ww;
    s17 += subgroupBroadcast(a2.x, 1u) * wx; s17 += subgroupBroadcast(a2.y, 1u) * wy; s17 += subgroupBroadcast(a2.z, 1u) * wz; s17 += subgroupBroadcast(a2.w, 1u) * ww;
    s18 += subgroupBroadcast(a2.x, 2u) * wx; s18 += subgroupBroadcast(a2.y, 2u) * wy; s18 += subgroupBroadcast(a2.z, 2u) * wz; s18 += subgroupBroadcast(a2.w, 2u) * ww;
    s19 += subgroupBroadcast(a2.x, 3u) * wx; s19 += subgroupBroadcast(a2.y, 3u) * wy; s19 += subgroupBroadcast(a2.z, 3u) * wz; s19 += subgroupBroadcast(a2.w, 3u) * ww;
    s20 += subgroupBroadcast(a2.x, 4u) * wx; s20 += subgroupBroadcast(a2.y, 4u) * wy; s20 += subgroupBroadcast(a2.z, 4u) * wz; s20 += subgroupBroadcast(a2.w, 4u) * ww;
    s21 += subgroupBroadcast(a2.x, 5u) * wx; s21 += subgroupBroadcast(a2.y, 5u) * wy; s21 += subgroupBroadcast(a2.z, 5u) * wz; s21 += subgroupBroadcast(a2.w, 5u) * ww;
    s22 += subgroupBroadcast(a2.x, 6u) * wx; s22 += subgroupBroadcast(a2.y, 6u) * wy; s22 += subgroupBroadcast(a2.z, 6u) * wz; s22 += subgroupBroadcast(a2.w, 6u) * ww;
    s23 += subgroupBroadcast(a2.x, 7u) * wx; s23 += subgroupBroadcast(a2.y, 7u) * wy; s23 += subgroupBroadcast(a2.z, 7u) * wz; s23 += subgroupBroadcast(a2.w, 7u) * ww;
    s24 += subgroupBroadcast(a3.x, 0u) * wx; s24 += subgroupBroadcast(a3.y, 0u) * wy; s24 += subgroupBroadcast(a3.z, 0u) * wz; s24 += subgroupBroadcast(a3.w, 0u) * ww;
    s25 += subgroupBroadcast(a3.x, 1u) * wx; s25 += subgroupBroadcast(a3.y, 1u) * wy; s25 += subgroupBroadcast(a3.z, 1u) * wz; s25 += subgroupBroadcast(a3.w, 1u) * ww;
    s26 += subgroupBroadcast(a3.x, 2u) * wx; s26 += subgroupBroadcast(a3.y, 2u) * wy; s26 += subgroupBroadcast(a3.z, 2u) * wz; s26 += subgroupBroadcast(a3.w, 2u) * ww;
    s27 += subgroupBroadcast(a3.x, 3u) * wx; s27 += subgroupBroadcast(a3.y, 3u) * wy; s27 += subgroupBroadcast(a3.z, 3u) * wz; s27 += subgroupBroadcast(a3.w, 3u) * ww;
    s28 += subgroupBroadcast(a3.x, 4u) * wx; s28 += subgroupBroadcast(a3.y, 4u) * wy; s28 += subgroupBroadcast(a3.z, 4u) * wz; s28 += subgroupBroadcast(a3.w, 4u) * ww;
    s29 += subgroupBroadcast(a3.x, 5u) * wx; s29 += subgroupBroadcast(a3.y, 5u) * wy; s29 += subgroupBroadcast(a3.z, 5u) * wz; s29 += subgroupBroadcast(a3.w, 5u) * ww;
    s30 += subgroupBroadcast(a3.x, 6u) * wx; s30 += subgroupBroadcast(a3.y, 6u) * wy; s30 += subgroupBroadcast(a3.z, 6u) * wz; s30 += subgroupBroadcast(a3.w, 6u) * ww;
    s31 += subgroupBroadcast(a3.x, 7u) * wx; s31 += subgroupBroadcast(a3.y, 7u) * wy; s31 += subgroupBroadcast(a3.z, 7u) * wz; s31 += subgroupBroadcast(a3.w, 7u) * ww;
  }
  if (column >= columns) { return; }
  // Eight rows at a time, the next eight moved up: a loop that begins where only a launch knows is not unrolled, so that a driver compiles eight
  // stores instead of 32. To index the sums would keep them in memory.
  let end = min(row + 32u, params.rows);
  for (var r = row; r < end; r += 8u) {
    store(r, columns, column, s0);
    store(r + 1u, columns, column, s1);
    store(r + 2u, columns, column, s2);
    store(r + 3u, columns, column, s3);
    store(r + 4u, columns, column, s4);
    store(r + 5u, columns, column, s5);
    store(r + 6u, columns, column, s6);
    store(r + 7u, columns, column, s7);
    s0 = s8; s1 = s9; s2 = s10; s3 = s11; s4 = s12; s5 = s13; s6 = s14; s7 = s15;
    s8 = s16; s9 = s17; s10 = s18; s11 = s19; s12 = s20; s13 = s21; s14 = s22; s15 = s23;
    s16 = s24; s17 = s25; s18 = s26; s19 = s27; s20 = s28; s21 = s29; s22 = s30; s23 = s31;
  }
}
