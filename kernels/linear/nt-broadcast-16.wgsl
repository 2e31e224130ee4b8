// out[M,N] (+)= x[M,K] · weight[N,K]ᵀ (+ bias[N]), f32. 16 rows × 32 columns per subgroup of exactly eight lanes, no workgroup memory.
// Every lane loads a different vec4 along K: of 2 rows of x and of 4 rows of weight. Rows of x are then shared lane by lane
// with subgroupBroadcast, which a software adapter turns into one shuffle where a shared address would be loaded eight times.
// A row's sum runs over k in one order whatever M is, so results do not depend on the batch. Needs K % 4 == 0.
enable subgroups;

const HAS_BIAS: bool = false;
const ACCUMULATE: bool = false;

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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let inner = params.inner / 4u;
  let row = (group.z * 65535u + group.y) * 16u;
  let column = group.x * 32u + lane;
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner;
  let row_base1 = min(row + 8u + lane, last_row) * inner;
  let column_base0 = min(column + 0u, last_column) * inner;
  let column_base1 = min(column + 8u, last_column) * inner;
  let column_base2 = min(column + 16u, last_column) * inner;
  let column_base3 = min(column + 24u, last_column) * inner;
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
  store(row + 0u, column + 0u, s0_0); store(row + 0u, column + 8u, s0_1); store(row + 0u, column + 16u, s0_2); store(row + 0u, column + 24u, s0_3);
  store(row + 1u, column + 0u, s1_0); store(row + 1u, column + 8u, s1_1); store(row + 1u, column + 16u, s1_2); store(row + 1u, column + 24u, s1_3);
  store(row + 2u, column + 0u, s2_0); store(row + 2u, column + 8u, s2_1); store(row + 2u, column + 16u, s2_2); store(row + 2u, column + 24u, s2_3);
  store(row + 3u, column + 0u, s3_0); store(row + 3u, column + 8u, s3_1); store(row + 3u, column + 16u, s3_2); store(row + 3u, column + 24u, s3_3);
  store(row + 4u, column + 0u, s4_0); store(row + 4u, column + 8u, s4_1); store(row + 4u, column + 16u, s4_2); store(row + 4u, column + 24u, s4_3);
  store(row + 5u, column + 0u, s5_0); store(row + 5u, column + 8u, s5_1); store(row + 5u, column + 16u, s5_2); store(row + 5u, column + 24u, s5_3);
  store(row + 6u, column + 0u, s6_0); store(row + 6u, column + 8u, s6_1); store(row + 6u, column + 16u, s6_2); store(row + 6u, column + 24u, s6_3);
  store(row + 7u, column + 0u, s7_0); store(row + 7u, column + 8u, s7_1); store(row + 7u, column + 16u, s7_2); store(row + 7u, column + 24u, s7_3);
  store(row + 8u, column + 0u, s8_0); store(row + 8u, column + 8u, s8_1); store(row + 8u, column + 16u, s8_2); store(row + 8u, column + 24u, s8_3);
  store(row + 9u, column + 0u, s9_0); store(row + 9u, column + 8u, s9_1); store(row + 9u, column + 16u, s9_2); store(row + 9u, column + 24u, s9_3);
  store(row + 10u, column + 0u, s10_0); store(row + 10u, column + 8u, s10_1); store(row + 10u, column + 16u, s10_2); store(row + 10u, column + 24u, s10_3);
  store(row + 11u, column + 0u, s11_0); store(row + 11u, column + 8u, s11_1); store(row + 11u, column + 16u, s11_2); store(row + 11u, column + 24u, s11_3);
  store(row + 12u, column + 0u, s12_0); store(row + 12u, column + 8u, s12_1); store(row + 12u, column + 16u, s12_2); store(row + 12u, column + 24u, s12_3);
  store(row + 13u, column + 0u, s13_0); store(row + 13u, column + 8u, s13_1); store(row + 13u, column + 16u, s13_2); store(row + 13u, column + 24u, s13_3);
  store(row + 14u, column + 0u, s14_0); store(row + 14u, column + 8u, s14_1); store(row + 14u, column + 16u, s14_2); store(row + 14u, column + 24u, s14_3);
  store(row + 15u, column + 0u, s15_0); store(row + 15u, column + 8u, s15_1); store(row + 15u, column + 16u, s15_2); store(row + 15u, column + 24u, s15_3);
}
