// out[M,N] (+)= x[M,K] · weight[N,K]ᵀ (+ bias[N]), f32. 16 rows × 32 columns per subgroup of exactly eight lanes, no workgroup memory.
// Every lane loads a different vec4 along K: of 2 rows of x and of 4 rows of weight. Rows of x are then shared lane by lane
// with subgroupBroadcast, which a software adapter turns into one shuffle where a shared address would be loaded eight times.
// A row's sum runs over k in one order whatever M is, so results do not depend on the batch. Needs K % 4 == 0.
// GATED: the first half of weight's rows makes gates, the other half what they gate: out[M,N/2] = silu(gates) · ups.
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
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, column: u32, value: f32) {
  if (row < params.rows && column < params.columns) {
    var result = value;
    if (HAS_BIAS) { result += bias[column]; }
    if (ACCUMULATE) { result += out[row * params.columns + column]; }
    out[row * params.columns + column] = result;
  }
}

fn store_gated(row: u32, column: u32, gate: f32, up: f32) {
  let width = params.columns / 2u;
  if (row < params.rows && column < width) { out[row * width + column] = swiglu(vec4f(gate), vec4f(up)).x; }
}

// What a lane has of a row: four columns, or two gates and what they gate.
fn store_row(row: u32, group: u32, lane: u32, v0: f32, v1: f32, v2: f32, v3: f32) {
  if (GATED) {
    store_gated(row, group * 16u + lane, v0, v2);
    store_gated(row, group * 16u + 8u + lane, v1, v3);
    return;
  }
  let column = group * 32u + lane;
  store(row, column, v0);
  store(row, column + 8u, v1);
  store(row, column + 16u, v2);
  store(row, column + 24u, v3);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let inner = params.inner / 4u;
  let row = (group.z * 65535u + group.y) * 16u;
  let last_row = params.rows - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner;
  let row_base1 = min(row + 8u + lane, last_row) * inner;
  // Past the last column any other will do: what comes of it is not stored.
  let half = params.columns / 2u;
  let columns = select(params.columns, half, GATED);
  let first = group.x * select(32u, 16u, GATED) + lane;
  let column_base0 = min(first, columns - 1u) * inner;
  let column_base1 = min(first + 8u, columns - 1u) * inner;
  let column_base2 = select(min(first + 16u, columns - 1u) * inner, column_base0 + half * inner, GATED);
  let column_base3 = select(min(first + 24u, columns - 1u) * inner, column_base1 + half * inner, GATED);
  var s0_0 = 0.0; var s0_1 = 0.0; var s0_2 = 0.0; var s0_3 = 0.0;
  var s1_0 = 0.0; var s1_1 = 0.0; var s1_2 = 0.0; var s1_3 = 0.0;
  var s2_0 = 0.0; var s2_1 = 0.0; var s2_2 = 0.0; var s2_3 = 0.0;
  var s3_0 = 0.0; var s3_1 = 0.0; var s3_2 = 0.0; var s3_3 = 0.0;
  var s4_0 = 0.0; var s4_1 = 0.0; var s4_2 = 0.0; var s4_3 = 0.0;
  var s5_0 = 0.0; var s5_1 = 0.0; var s5_2 = 0.0; var s5_3 = 0.0;
  var s6_0 = 0.0; var s6_1 = 0.0; var s6_2 = 0.0; var s6_3 = 0.0;
  var s7_0 = 0.0; var s7_1 = 0.0; var s7_2 = 0.0; var s7_3 = 0.0;
  var s8_0 = 0.0; var s8_1 = 0.0; var s8_2 = 0.0; var s8_3 = 0.0;
  var s9_0 = 0.0; var s9_1 = 0.0; var s9_2 = 0.0; var s9_3 = 0.0;
  var s10_0 = 0.0; var s10_1 = 0.0; var s10_2 = 0.0; var s10_3 = 0.0;
  var s11_0 = 0.0; var s11_1 = 0.0; var s11_2 = 0.0; var s11_3 = 0.0;
  var s12_0 = 0.0; var s12_1 = 0.0; var s12_2 = 0.0; var s12_3 = 0.0;
  var s13_0 = 0.0; var s13_1 = 0.0; var s13_2 = 0.0; var s13_3 = 0.0;
  var s14_0 = 0.0; var s14_1 = 0.0; var s14_2 = 0.0; var s14_3 = 0.0;
  var s15_0 = 0.0; var s15_1 = 0.0; var s15_2 = 0.0; var s15_3 = 0.0;
  for (var k = 0u; k < inner; k++) {
    let x0 = x[row_base0 + k]; let x1 = x[row_base1 + k];
    let w0 = weight[column_base0 + k]; let w1 = weight[column_base1 + k]; let w2 = weight[column_base2 + k]; let w3 = weight[column_base3 + k];
    { let a = subgroupBroadcast(x0.x, 0u); s0_0 += a * w0.x; s0_1 += a * w1.x; s0_2 += a * w2.x; s0_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 0u); s0_0 += a * w0.y; s0_1 += a * w1.y; s0_2 += a * w2.y; s0_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 0u); s0_0 += a * w0.z; s0_1 += a * w1.z; s0_2 += a * w2.z; s0_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 0u); s0_0 += a * w0.w; s0_1 += a * w1.w; s0_2 += a * w2.w; s0_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 1u); s1_0 += a * w0.x; s1_1 += a * w1.x; s1_2 += a * w2.x; s1_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 1u); s1_0 += a * w0.y; s1_1 += a * w1.y; s1_2 += a * w2.y; s1_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 1u); s1_0 += a * w0.z; s1_1 += a * w1.z; s1_2 += a * w2.z; s1_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 1u); s1_0 += a * w0.w; s1_1 += a * w1.w; s1_2 += a * w2.w; s1_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 2u); s2_0 += a * w0.x; s2_1 += a * w1.x; s2_2 += a * w2.x; s2_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 2u); s2_0 += a * w0.y; s2_1 += a * w1.y; s2_2 += a * w2.y; s2_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 2u); s2_0 += a * w0.z; s2_1 += a * w1.z; s2_2 += a * w2.z; s2_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 2u); s2_0 += a * w0.w; s2_1 += a * w1.w; s2_2 += a * w2.w; s2_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 3u); s3_0 += a * w0.x; s3_1 += a * w1.x; s3_2 += a * w2.x; s3_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 3u); s3_0 += a * w0.y; s3_1 += a * w1.y; s3_2 += a * w2.y; s3_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 3u); s3_0 += a * w0.z; s3_1 += a * w1.z; s3_2 += a * w2.z; s3_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 3u); s3_0 += a * w0.w; s3_1 += a * w1.w; s3_2 += a * w2.w; s3_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 4u); s4_0 += a * w0.x; s4_1 += a * w1.x; s4_2 += a * w2.x; s4_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 4u); s4_0 += a * w0.y; s4_1 += a * w1.y; s4_2 += a * w2.y; s4_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 4u); s4_0 += a * w0.z; s4_1 += a * w1.z; s4_2 += a * w2.z; s4_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 4u); s4_0 += a * w0.w; s4_1 += a * w1.w; s4_2 += a * w2.w; s4_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 5u); s5_0 += a * w0.x; s5_1 += a * w1.x; s5_2 += a * w2.x; s5_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 5u); s5_0 += a * w0.y; s5_1 += a * w1.y; s5_2 += a * w2.y; s5_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 5u); s5_0 += a * w0.z; s5_1 += a * w1.z; s5_2 += a * w2.z; s5_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 5u); s5_0 += a * w0.w; s5_1 += a * w1.w; s5_2 += a * w2.w; s5_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 6u); s6_0 += a * w0.x; s6_1 += a * w1.x; s6_2 += a * w2.x; s6_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 6u); s6_0 += a * w0.y; s6_1 += a * w1.y; s6_2 += a * w2.y; s6_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 6u); s6_0 += a * w0.z; s6_1 += a * w1.z; s6_2 += a * w2.z; s6_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 6u); s6_0 += a * w0.w; s6_1 += a * w1.w; s6_2 += a * w2.w; s6_3 += a * w3.w; }
    { let a = subgroupBroadcast(x0.x, 7u); s7_0 += a * w0.x; s7_1 += a * w1.x; s7_2 += a * w2.x; s7_3 += a * w3.x; }
    { let a = subgroupBroadcast(x0.y, 7u); s7_0 += a * w0.y; s7_1 += a * w1.y; s7_2 += a * w2.y; s7_3 += a * w3.y; }
    { let a = subgroupBroadcast(x0.z, 7u); s7_0 += a * w0.z; s7_1 += a * w1.z; s7_2 += a * w2.z; s7_3 += a * w3.z; }
    { let a = subgroupBroadcast(x0.w, 7u); s7_0 += a * w0.w; s7_1 += a * w1.w; s7_2 += a * w2.w; s7_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 0u); s8_0 += a * w0.x; s8_1 += a * w1.x; s8_2 += a * w2.x; s8_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 0u); s8_0 += a * w0.y; s8_1 += a * w1.y; s8_2 += a * w2.y; s8_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 0u); s8_0 += a * w0.z; s8_1 += a * w1.z; s8_2 += a * w2.z; s8_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 0u); s8_0 += a * w0.w; s8_1 += a * w1.w; s8_2 += a * w2.w; s8_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 1u); s9_0 += a * w0.x; s9_1 += a * w1.x; s9_2 += a * w2.x; s9_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 1u); s9_0 += a * w0.y; s9_1 += a * w1.y; s9_2 += a * w2.y; s9_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 1u); s9_0 += a * w0.z; s9_1 += a * w1.z; s9_2 += a * w2.z; s9_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 1u); s9_0 += a * w0.w; s9_1 += a * w1.w; s9_2 += a * w2.w; s9_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 2u); s10_0 += a * w0.x; s10_1 += a * w1.x; s10_2 += a * w2.x; s10_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 2u); s10_0 += a * w0.y; s10_1 += a * w1.y; s10_2 += a * w2.y; s10_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 2u); s10_0 += a * w0.z; s10_1 += a * w1.z; s10_2 += a * w2.z; s10_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 2u); s10_0 += a * w0.w; s10_1 += a * w1.w; s10_2 += a * w2.w; s10_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 3u); s11_0 += a * w0.x; s11_1 += a * w1.x; s11_2 += a * w2.x; s11_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 3u); s11_0 += a * w0.y; s11_1 += a * w1.y; s11_2 += a * w2.y; s11_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 3u); s11_0 += a * w0.z; s11_1 += a * w1.z; s11_2 += a * w2.z; s11_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 3u); s11_0 += a * w0.w; s11_1 += a * w1.w; s11_2 += a * w2.w; s11_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 4u); s12_0 += a * w0.x; s12_1 += a * w1.x; s12_2 += a * w2.x; s12_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 4u); s12_0 += a * w0.y; s12_1 += a * w1.y; s12_2 += a * w2.y; s12_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 4u); s12_0 += a * w0.z; s12_1 += a * w1.z; s12_2 += a * w2.z; s12_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 4u); s12_0 += a * w0.w; s12_1 += a * w1.w; s12_2 += a * w2.w; s12_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 5u); s13_0 += a * w0.x; s13_1 += a * w1.x; s13_2 += a * w2.x; s13_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 5u); s13_0 += a * w0.y; s13_1 += a * w1.y; s13_2 += a * w2.y; s13_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 5u); s13_0 += a * w0.z; s13_1 += a * w1.z; s13_2 += a * w2.z; s13_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 5u); s13_0 += a * w0.w; s13_1 += a * w1.w; s13_2 += a * w2.w; s13_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 6u); s14_0 += a * w0.x; s14_1 += a * w1.x; s14_2 += a * w2.x; s14_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 6u); s14_0 += a * w0.y; s14_1 += a * w1.y; s14_2 += a * w2.y; s14_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 6u); s14_0 += a * w0.z; s14_1 += a * w1.z; s14_2 += a * w2.z; s14_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 6u); s14_0 += a * w0.w; s14_1 += a * w1.w; s14_2 += a * w2.w; s14_3 += a * w3.w; }
    { let a = subgroupBroadcast(x1.x, 7u); s15_0 += a * w0.x; s15_1 += a * w1.x; s15_2 += a * w2.x; s15_3 += a * w3.x; }
    { let a = subgroupBroadcast(x1.y, 7u); s15_0 += a * w0.y; s15_1 += a * w1.y; s15_2 += a * w2.y; s15_3 += a * w3.y; }
    { let a = subgroupBroadcast(x1.z, 7u); s15_0 += a * w0.z; s15_1 += a * w1.z; s15_2 += a * w2.z; s15_3 += a * w3.z; }
    { let a = subgroupBroadcast(x1.w, 7u); s15_0 += a * w0.w; s15_1 += a * w1.w; s15_2 += a * w2.w; s15_3 += a * w3.w; }
  }
  // Eight rows at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(row + 16u, params.rows);
  for (var r = row; r < end; r += 8u) {
    store_row(r, group.x, lane, s0_0, s0_1, s0_2, s0_3);
    store_row(r + 1u, group.x, lane, s1_0, s1_1, s1_2, s1_3);
    store_row(r + 2u, group.x, lane, s2_0, s2_1, s2_2, s2_3);
    store_row(r + 3u, group.x, lane, s3_0, s3_1, s3_2, s3_3);
    store_row(r + 4u, group.x, lane, s4_0, s4_1, s4_2, s4_3);
    store_row(r + 5u, group.x, lane, s5_0, s5_1, s5_2, s5_3);
    store_row(r + 6u, group.x, lane, s6_0, s6_1, s6_2, s6_3);
    store_row(r + 7u, group.x, lane, s7_0, s7_1, s7_2, s7_3);
    s0_0 = s8_0; s0_1 = s8_1; s0_2 = s8_2; s0_3 = s8_3;
    s1_0 = s9_0; s1_1 = s9_1; s1_2 = s9_2; s1_3 = s9_3;
    s2_0 = s10_0; s2_1 = s10_1; s2_2 = s10_2; s2_3 = s10_3;
    s3_0 = s11_0; s3_1 = s11_1; s3_2 = s11_2; s3_3 = s11_3;
    s4_0 = s12_0; s4_1 = s12_1; s4_2 = s12_2; s4_3 = s12_3;
    s5_0 = s13_0; s5_1 = s13_1; s5_2 = s13_2; s5_3 = s13_3;
    s6_0 = s14_0; s6_1 = s14_1; s6_2 = s14_2; s6_3 = s14_3;
    s7_0 = s15_0; s7_1 = s15_1; s7_2 = s15_2; s7_3 = s15_3;
  }
}
