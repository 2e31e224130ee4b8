// out[M,N] += a[K,M]ᵀ · b[K,N], f32: tn-broadcast for many rows of the result. 32 rows × 32 columns per subgroup of exactly eight lanes, which
// load 32 rows of a as vec4 for each of 2 values of k. Twice the rows share what is loaded of b. Sums run in the order of tn-broadcast: same
// bits. Needs M % 4 == 0 and N % 4 == 0; any K.
enable subgroups;

struct Params {
  rows: u32,     // M
  columns: u32,  // N
  inner: u32,    // K
}

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

fn add(row: u32, columns: u32, column: u32, value: vec4f) {
  if (row < params.rows) { out[row * columns + column] += value; }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let rows = params.rows / 4u;
  let columns = params.columns / 4u;
  let row = (group.z * 65535u + group.y) * 32u;
  let column = group.x * 8u + lane;
  let safe_column = min(column, columns - 1u);
  let a_column = min(row / 4u + lane, rows - 1u);
  let last = params.inner - 1u;
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
  for (var k = 0u; k < params.inner; k += 2u) {
    // Behind an odd K the second product is with zero.
    let next = min(k + 1u, last);
    let a0 = a[k * rows + a_column];
    let a1 = select(vec4f(), a[next * rows + a_column], k < last);
    let b0 = b[k * columns + safe_column];
    let b1 = b[next * columns + safe_column];
    s0 += subgroupBroadcast(a0.x, 0u) * b0; s0 += subgroupBroadcast(a1.x, 0u) * b1;
    s1 += subgroupBroadcast(a0.y, 0u) * b0; s1 += subgroupBroadcast(a1.y, 0u) * b1;
    s2 += subgroupBroadcast(a0.z, 0u) * b0; s2 += subgroupBroadcast(a1.z, 0u) * b1;
    s3 += subgroupBroadcast(a0.w, 0u) * b0; s3 += subgroupBroadcast(a1.w, 0u) * b1;
    s4 += subgroupBroadcast(a0.x, 1u) * b0; s4 += subgroupBroadcast(a1.x, 1u) * b1;
    s5 += subgroupBroadcast(a0.y, 1u) * b0; s5 += subgroupBroadcast(a1.y, 1u) * b1;
    s6 += subgroupBroadcast(a0.z, 1u) * b0; s6 += subgroupBroadcast(a1.z, 1u) * b1;
    s7 += subgroupBroadcast(a0.w, 1u) * b0; s7 += subgroupBroadcast(a1.w, 1u) * b1;
    s8 += subgroupBroadcast(a0.x, 2u) * b0; s8 += subgroupBroadcast(a1.x, 2u) * b1;
    s9 += subgroupBroadcast(a0.y, 2u) * b0; s9 += subgroupBroadcast(a1.y, 2u) * b1;
    s10 += subgroupBroadcast(a0.z, 2u) * b0; s10 += subgroupBroadcast(a1.z, 2u) * b1;
    s11 += subgroupBroadcast(a0.w, 2u) * b0; s11 += subgroupBroadcast(a1.w, 2u) * b1;
    s12 += subgroupBroadcast(a0.x, 3u) * b0; s12 += subgroupBroadcast(a1.x, 3u) * b1;
    s13 += subgroupBroadcast(a0.y, 3u) * b0; s13 += subgroupBroadcast(a1.y, 3u) * b1;
    s14 += subgroupBroadcast(a0.z, 3u) * b0; s14 += subgroupBroadcast(a1.z, 3u) * b1;
    s15 += subgroupBroadcast(a0.w, 3u) * b0; s15 += subgroupBroadcast(a1.w, 3u) * b1;
    s16 += subgroupBroadcast(a0.x, 4u) * b0; s16 += subgroupBroadcast(a1.x, 4u) * b1;
    s17 += subgroupBroadcast(a0.y, 4u) * b0; s17 += subgroupBroadcast(a1.y, 4u) * b1;
    s18 += subgroupBroadcast(a0.z, 4u) * b0; s18 += subgroupBroadcast(a1.z, 4u) * b1;
    s19 += subgroupBroadcast(a0.w, 4u) * b0; s19 += subgroupBroadcast(a1.w, 4u) * b1;
    s20 += subgroupBroadcast(a0.x, 5u) * b0; s20 += subgroupBroadcast(a1.x, 5u) * b1;
    s21 += subgroupBroadcast(a0.y, 5u) * b0; s21 += subgroupBroadcast(a1.y, 5u) * b1;
    s22 += subgroupBroadcast(a0.z, 5u) * b0; s22 += subgroupBroadcast(a1.z, 5u) * b1;
    s23 += subgroupBroadcast(a0.w, 5u) * b0; s23 += subgroupBroadcast(a1.w, 5u) * b1;
    s24 += subgroupBroadcast(a0.x, 6u) * b0; s24 += subgroupBroadcast(a1.x, 6u) * b1;
    s25 += subgroupBroadcast(a0.y, 6u) * b0; s25 += subgroupBroadcast(a1.y, 6u) * b1;
    s26 += subgroupBroadcast(a0.z, 6u) * b0; s26 += subgroupBroadcast(a1.z, 6u) * b1;
    s27 += subgroupBroadcast(a0.w, 6u) * b0; s27 += subgroupBroadcast(a1.w, 6u) * b1;
    s28 += subgroupBroadcast(a0.x, 7u) * b0; s28 += subgroupBroadcast(a1.x, 7u) * b1;
    s29 += subgroupBroadcast(a0.y, 7u) * b0; s29 += subgroupBroadcast(a1.y, 7u) * b1;
    s30 += subgroupBroadcast(a0.z, 7u) * b0; s30 += subgroupBroadcast(a1.z, 7u) * b1;
    s31 += subgroupBroadcast(a0.w, 7u) * b0; s31 += subgroupBroadcast(a1.w, 7u) * b1;
  }
  if (column >= columns) { return; }
  // Eight rows at a time, the next eight moved up: a loop that begins where only a launch knows is not unrolled, so that a driver compiles eight
  // stores instead of 32. To index the sums would keep them in memory.
  let end = min(row + 32u, params.rows);
  for (var r = row; r < end; r += 8u) {
    add(r, columns, column, s0);
    add(r + 1u, columns, column, s1);
    add(r + 2u, columns, column, s2);
    add(r + 3u, columns, column, s3);
    add(r + 4u, columns, column, s4);
    add(r + 5u, columns, column, s5);
    add(r + 6u, columns, column, s6);
    add(r + 7u, columns, column, s7);
    s0 = s8; s1 = s9; s2 = s10; s3 = s11; s4 = s12; s5 = s13; s6 = s14; s7 = s15;
    s8 = s16; s9 = s17; s10 = s18; s11 = s19; s12 = s20; s13 = s21; s14 = s22; s15 = s23;
    s16 = s24; s17 = s25; s18 = s26; s19 = s27; s20 = s28; s21 = s29; s22 = s30; s23 = s31;
  }
}
