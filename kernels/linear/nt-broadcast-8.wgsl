// out[M,N] (+)= x[M,K] · weight[N,K]ᵀ (+ bias[N]), f32. 8 rows × 32 columns per subgroup of exactly eight lanes, no workgroup memory.
// Every lane loads a different vec4 along K: of 1 rows of x and of 4 rows of weight. Rows of x are then shared lane by lane
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
  let row = (group.z * 65535u + group.y) * 8u;
  let column = group.x * 32u + lane;
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner;
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
  for (var k = 0u; k < inner; k++) {
    let x0 = x[row_base0 + k];
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
  }
  store(row + 0u, column + 0u, s0_0); store(row + 0u, column + 8u, s0_1); store(row + 0u, column + 16u, s0_2); store(row + 0u, column + 24u, s0_3);
  store(row + 1u, column + 0u, s1_0); store(row + 1u, column + 8u, s1_1); store(row + 1u, column + 16u, s1_2); store(row + 1u, column + 24u, s1_3);
  store(row + 2u, column + 0u, s2_0); store(row + 2u, column + 8u, s2_1); store(row + 2u, column + 16u, s2_2); store(row + 2u, column + 24u, s2_3);
  store(row + 3u, column + 0u, s3_0); store(row + 3u, column + 8u, s3_1); store(row + 3u, column + 16u, s3_2); store(row + 3u, column + 24u, s3_3);
  store(row + 4u, column + 0u, s4_0); store(row + 4u, column + 8u, s4_1); store(row + 4u, column + 16u, s4_2); store(row + 4u, column + 24u, s4_3);
  store(row + 5u, column + 0u, s5_0); store(row + 5u, column + 8u, s5_1); store(row + 5u, column + 16u, s5_2); store(row + 5u, column + 24u, s5_3);
  store(row + 6u, column + 0u, s6_0); store(row + 6u, column + 8u, s6_1); store(row + 6u, column + 16u, s6_2); store(row + 6u, column + 24u, s6_3);
  store(row + 7u, column + 0u, s7_0); store(row + 7u, column + 8u, s7_1); store(row + 7u, column + 16u, s7_2); store(row + 7u, column + 24u, s7_3);
}
