// out[M,N] = x[M,K] · weight[N,K]ᵀ (+ bias[N]); x, bias and out f32, weight f16 or bf16 packed in pairs, sums in f32. 16 rows × 32 columns
// per subgroup of exactly eight lanes, no workgroup memory. A lane loads eight halves of four rows of weight at once and widens
// them two by two; a component of `w` is one of its four columns. Rows of x are shared by subgroupBroadcast as in nt-broadcast-16.
// A row's sum runs over k in one order whatever M is, so results do not depend on the batch. Needs K % 8 == 0.
enable subgroups;
//! use lib/packed.wgsl

const BRAIN: bool = false;
const HAS_BIAS: bool = false;

struct Params {
  rows: u32,     // M
  columns: u32,  // N
  inner: u32,    // K
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4u>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, column: u32, sums: vec4f) {
  if (row >= params.rows) { return; }
  for (var i = 0u; i < 4u; i++) {
    let at = column + i * 8u;
    if (at < params.columns) {
      var result = sums[i];
      if (HAS_BIAS) { result += bias[at]; }
      out[row * params.columns + at] = result;
    }
  }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let inner = params.inner / 8u;
  let row = (group.z * 65535u + group.y) * 16u;
  let column = group.x * 32u + lane;
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner * 2u;
  let row_base1 = min(row + 8u + lane, last_row) * inner * 2u;
  let column_base0 = min(column + 0u, last_column) * inner;
  let column_base1 = min(column + 8u, last_column) * inner;
  let column_base2 = min(column + 16u, last_column) * inner;
  let column_base3 = min(column + 24u, last_column) * inner;
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
  for (var k = 0u; k < inner; k++) {
    let h0 = weight[column_base0 + k]; let h1 = weight[column_base1 + k]; let h2 = weight[column_base2 + k]; let h3 = weight[column_base3 + k];
    {
      let x0 = x[row_base0 + k * 2u]; let x1 = x[row_base1 + k * 2u];
      let p0_0 = widen_pair(h0.x);
      let p0_1 = widen_pair(h1.x);
      let p0_2 = widen_pair(h2.x);
      let p0_3 = widen_pair(h3.x);
      let p1_0 = widen_pair(h0.y);
      let p1_1 = widen_pair(h1.y);
      let p1_2 = widen_pair(h2.y);
      let p1_3 = widen_pair(h3.y);
      let w0 = vec4f(p0_0.x, p0_1.x, p0_2.x, p0_3.x);
      let w1 = vec4f(p0_0.y, p0_1.y, p0_2.y, p0_3.y);
      let w2 = vec4f(p1_0.x, p1_1.x, p1_2.x, p1_3.x);
      let w3 = vec4f(p1_0.y, p1_1.y, p1_2.y, p1_3.y);
      s0 += subgroupBroadcast(x0.x, 0u) * w0; s0 += subgroupBroadcast(x0.y, 0u) * w1; s0 += subgroupBroadcast(x0.z, 0u) * w2; s0 += subgroupBroadcast(x0.w, 0u) * w3;
      s1 += subgroupBroadcast(x0.x, 1u) * w0; s1 += subgroupBroadcast(x0.y, 1u) * w1; s1 += subgroupBroadcast(x0.z, 1u) * w2; s1 += subgroupBroadcast(x0.w, 1u) * w3;
      s2 += subgroupBroadcast(x0.x, 2u) * w0; s2 += subgroupBroadcast(x0.y, 2u) * w1; s2 += subgroupBroadcast(x0.z, 2u) * w2; s2 += subgroupBroadcast(x0.w, 2u) * w3;
      s3 += subgroupBroadcast(x0.x, 3u) * w0; s3 += subgroupBroadcast(x0.y, 3u) * w1; s3 += subgroupBroadcast(x0.z, 3u) * w2; s3 += subgroupBroadcast(x0.w, 3u) * w3;
      s4 += subgroupBroadcast(x0.x, 4u) * w0; s4 += subgroupBroadcast(x0.y, 4u) * w1; s4 += subgroupBroadcast(x0.z, 4u) * w2; s4 += subgroupBroadcast(x0.w, 4u) * w3;
      s5 += subgroupBroadcast(x0.x, 5u) * w0; s5 += subgroupBroadcast(x0.y, 5u) * w1; s5 += subgroupBroadcast(x0.z, 5u) * w2; s5 += subgroupBroadcast(x0.w, 5u) * w3;
      s6 += subgroupBroadcast(x0.x, 6u) * w0; s6 += subgroupBroadcast(x0.y, 6u) * w1; s6 += subgroupBroadcast(x0.z, 6u) * w2; s6 += subgroupBroadcast(x0.w, 6u) * w3;
      s7 += subgroupBroadcast(x0.x, 7u) * w0; s7 += subgroupBroadcast(x0.y, 7u) * w1; s7 += subgroupBroadcast(x0.z, 7u) * w2; s7 += subgroupBroadcast(x0.w, 7u) * w3;
      s8 += subgroupBroadcast(x1.x, 0u) * w0; s8 += subgroupBroadcast(x1.y, 0u) * w1; s8 += subgroupBroadcast(x1.z, 0u) * w2; s8 += subgroupBroadcast(x1.w, 0u) * w3;
      s9 += subgroupBroadcast(x1.x, 1u) * w0; s9 += subgroupBroadcast(x1.y, 1u) * w1; s9 += subgroupBroadcast(x1.z, 1u) * w2; s9 += subgroupBroadcast(x1.w, 1u) * w3;
      s10 += subgroupBroadcast(x1.x, 2u) * w0; s10 += subgroupBroadcast(x1.y, 2u) * w1; s10 += subgroupBroadcast(x1.z, 2u) * w2; s10 += subgroupBroadcast(x1.w, 2u) * w3;
      s11 += subgroupBroadcast(x1.x, 3u) * w0; s11 += subgroupBroadcast(x1.y, 3u) * w1; s11 += subgroupBroadcast(x1.z, 3u) * w2; s11 += subgroupBroadcast(x1.w, 3u) * w3;
      s12 += subgroupBroadcast(x1.x, 4u) * w0; s12 += subgroupBroadcast(x1.y, 4u) * w1; s12 += subgroupBroadcast(x1.z, 4u) * w2; s12 += subgroupBroadcast(x1.w, 4u) * w3;
      s13 += subgroupBroadcast(x1.x, 5u) * w0; s13 += subgroupBroadcast(x1.y, 5u) * w1; s13 += subgroupBroadcast(x1.z, 5u) * w2; s13 += subgroupBroadcast(x1.w, 5u) * w3;
      s14 += subgroupBroadcast(x1.x, 6u) * w0; s14 += subgroupBroadcast(x1.y, 6u) * w1; s14 += subgroupBroadcast(x1.z, 6u) * w2; s14 += subgroupBroadcast(x1.w, 6u) * w3;
      s15 += subgroupBroadcast(x1.x, 7u) * w0; s15 += subgroupBroadcast(x1.y, 7u) * w1; s15 += subgroupBroadcast(x1.z, 7u) * w2; s15 += subgroupBroadcast(x1.w, 7u) * w3;
    }
    {
      let x0 = x[row_base0 + k * 2u + 1u]; let x1 = x[row_base1 + k * 2u + 1u];
      let p0_0 = widen_pair(h0.z);
      let p0_1 = widen_pair(h1.z);
      let p0_2 = widen_pair(h2.z);
      let p0_3 = widen_pair(h3.z);
      let p1_0 = widen_pair(h0.w);
      let p1_1 = widen_pair(h1.w);
      let p1_2 = widen_pair(h2.w);
      let p1_3 = widen_pair(h3.w);
      let w0 = vec4f(p0_0.x, p0_1.x, p0_2.x, p0_3.x);
      let w1 = vec4f(p0_0.y, p0_1.y, p0_2.y, p0_3.y);
      let w2 = vec4f(p1_0.x, p1_1.x, p1_2.x, p1_3.x);
      let w3 = vec4f(p1_0.y, p1_1.y, p1_2.y, p1_3.y);
      s0 += subgroupBroadcast(x0.x, 0u) * w0; s0 += subgroupBroadcast(x0.y, 0u) * w1; s0 += subgroupBroadcast(x0.z, 0u) * w2; s0 += subgroupBroadcast(x0.w, 0u) * w3;
      s1 += subgroupBroadcast(x0.x, 1u) * w0; s1 += subgroupBroadcast(x0.y, 1u) * w1; s1 += subgroupBroadcast(x0.z, 1u) * w2; s1 += subgroupBroadcast(x0.w, 1u) * w3;
      s2 += subgroupBroadcast(x0.x, 2u) * w0; s2 += subgroupBroadcast(x0.y, 2u) * w1; s2 += subgroupBroadcast(x0.z, 2u) * w2; s2 += subgroupBroadcast(x0.w, 2u) * w3;
      s3 += subgroupBroadcast(x0.x, 3u) * w0; s3 += subgroupBroadcast(x0.y, 3u) * w1; s3 += subgroupBroadcast(x0.z, 3u) * w2; s3 += subgroupBroadcast(x0.w, 3u) * w3;
      s4 += subgroupBroadcast(x0.x, 4u) * w0; s4 += subgroupBroadcast(x0.y, 4u) * w1; s4 += subgroupBroadcast(x0.z, 4u) * w2; s4 += subgroupBroadcast(x0.w, 4u) * w3;
      s5 += subgroupBroadcast(x0.x, 5u) * w0; s5 += subgroupBroadcast(x0.y, 5u) * w1; s5 += subgroupBroadcast(x0.z, 5u) * w2; s5 += subgroupBroadcast(x0.w, 5u) * w3;
      s6 += subgroupBroadcast(x0.x, 6u) * w0; s6 += subgroupBroadcast(x0.y, 6u) * w1; s6 += subgroupBroadcast(x0.z, 6u) * w2; s6 += subgroupBroadcast(x0.w, 6u) * w3;
      s7 += subgroupBroadcast(x0.x, 7u) * w0; s7 += subgroupBroadcast(x0.y, 7u) * w1; s7 += subgroupBroadcast(x0.z, 7u) * w2; s7 += subgroupBroadcast(x0.w, 7u) * w3;
      s8 += subgroupBroadcast(x1.x, 0u) * w0; s8 += subgroupBroadcast(x1.y, 0u) * w1; s8 += subgroupBroadcast(x1.z, 0u) * w2; s8 += subgroupBroadcast(x1.w, 0u) * w3;
      s9 += subgroupBroadcast(x1.x, 1u) * w0; s9 += subgroupBroadcast(x1.y, 1u) * w1; s9 += subgroupBroadcast(x1.z, 1u) * w2; s9 += subgroupBroadcast(x1.w, 1u) * w3;
      s10 += subgroupBroadcast(x1.x, 2u) * w0; s10 += subgroupBroadcast(x1.y, 2u) * w1; s10 += subgroupBroadcast(x1.z, 2u) * w2; s10 += subgroupBroadcast(x1.w, 2u) * w3;
      s11 += subgroupBroadcast(x1.x, 3u) * w0; s11 += subgroupBroadcast(x1.y, 3u) * w1; s11 += subgroupBroadcast(x1.z, 3u) * w2; s11 += subgroupBroadcast(x1.w, 3u) * w3;
      s12 += subgroupBroadcast(x1.x, 4u) * w0; s12 += subgroupBroadcast(x1.y, 4u) * w1; s12 += subgroupBroadcast(x1.z, 4u) * w2; s12 += subgroupBroadcast(x1.w, 4u) * w3;
      s13 += subgroupBroadcast(x1.x, 5u) * w0; s13 += subgroupBroadcast(x1.y, 5u) * w1; s13 += subgroupBroadcast(x1.z, 5u) * w2; s13 += subgroupBroadcast(x1.w, 5u) * w3;
      s14 += subgroupBroadcast(x1.x, 6u) * w0; s14 += subgroupBroadcast(x1.y, 6u) * w1; s14 += subgroupBroadcast(x1.z, 6u) * w2; s14 += subgroupBroadcast(x1.w, 6u) * w3;
      s15 += subgroupBroadcast(x1.x, 7u) * w0; s15 += subgroupBroadcast(x1.y, 7u) * w1; s15 += subgroupBroadcast(x1.z, 7u) * w2; s15 += subgroupBroadcast(x1.w, 7u) * w3;
    }
  }
  // Eight rows at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(row + 16u, params.rows);
  for (var r = row; r < end; r += 8u) {
    store(r, column, s0);
    store(r + 1u, column, s1);
    store(r + 2u, column, s2);
    store(r + 3u, column, s3);
    store(r + 4u, column, s4);
    store(r + 5u, column, s5);
    store(r + 6u, column, s6);
    store(r + 7u, column, s7);
    s0 = s8; s1 = s9; s2 = s10; s3 = s11; s4 = s12; s5 = s13; s6 = s14; s7 = s15;
  }
}
