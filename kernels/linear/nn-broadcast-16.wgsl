// out[M,N] = a[M,K] · b[K,N] (+ addend[M,N]), f32: the input gradient of a linear layer (a = dOut, b = weight). 16 rows × 32 columns per
// subgroup of exactly eight lanes; a lane owns four neighboring columns. Needs K % 4 == 0 and N % 4 == 0.
enable subgroups;

const HAS_ADDEND: bool = false;

struct Params {
  rows: u32,     // M
  columns: u32,  // N
  inner: u32,    // K
}

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read> addend: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, columns: u32, column: u32, value: vec4f) {
  if (row >= params.rows) { return; }
  let index = row * columns + column;
  if (HAS_ADDEND) { out[index] = value + addend[index]; } else { out[index] = value; }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let inner = params.inner / 4u;
  let columns = params.columns / 4u;
  let row = (group.z * 65535u + group.y) * 16u;
  let column = group.x * 8u + lane;
  let safe_column = min(column, columns - 1u);
  let last_row = params.rows - 1u;
  let row_base0 = min(row + 0u + lane, last_row) * inner;
  let row_base1 = min(row + 8u + lane, last_row) * inner;
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
    let a0 = a[row_base0 + k]; let a1 = a[row_base1 + k];
    let b0 = b[(k * 4u + 0u) * columns + safe_column];
    let b1 = b[(k * 4u + 1u) * columns + safe_column];
    let b2 = b[(k * 4u + 2u) * columns + safe_column];
    let b3 = b[(k * 4u + 3u) * columns + safe_column];
    s0 += subgroupBroadcast(a0.x, 0u) * b0; s0 += subgroupBroadcast(a0.y, 0u) * b1; s0 += subgroupBroadcast(a0.z, 0u) * b2; s0 += subgroupBroadcast(a0.w, 0u) * b3;
    s1 += subgroupBroadcast(a0.x, 1u) * b0; s1 += subgroupBroadcast(a0.y, 1u) * b1; s1 += subgroupBroadcast(a0.z, 1u) * b2; s1 += subgroupBroadcast(a0.w, 1u) * b3;
    s2 += subgroupBroadcast(a0.x, 2u) * b0; s2 += subgroupBroadcast(a0.y, 2u) * b1; s2 += subgroupBroadcast(a0.z, 2u) * b2; s2 += subgroupBroadcast(a0.w, 2u) * b3;
    s3 += subgroupBroadcast(a0.x, 3u) * b0; s3 += subgroupBroadcast(a0.y, 3u) * b1; s3 += subgroupBroadcast(a0.z, 3u) * b2; s3 += subgroupBroadcast(a0.w, 3u) * b3;
    s4 += subgroupBroadcast(a0.x, 4u) * b0; s4 += subgroupBroadcast(a0.y, 4u) * b1; s4 += subgroupBroadcast(a0.z, 4u) * b2; s4 += subgroupBroadcast(a0.w, 4u) * b3;
    s5 += subgroupBroadcast(a0.x, 5u) * b0; s5 += subgroupBroadcast(a0.y, 5u) * b1; s5 += subgroupBroadcast(a0.z, 5u) * b2; s5 += subgroupBroadcast(a0.w, 5u) * b3;
    s6 += subgroupBroadcast(a0.x, 6u) * b0; s6 += subgroupBroadcast(a0.y, 6u) * b1; s6 += subgroupBroadcast(a0.z, 6u) * b2; s6 += subgroupBroadcast(a0.w, 6u) * b3;
    s7 += subgroupBroadcast(a0.x, 7u) * b0; s7 += subgroupBroadcast(a0.y, 7u) * b1; s7 += subgroupBroadcast(a0.z, 7u) * b2; s7 += subgroupBroadcast(a0.w, 7u) * b3;
    s8 += subgroupBroadcast(a1.x, 0u) * b0; s8 += subgroupBroadcast(a1.y, 0u) * b1; s8 += subgroupBroadcast(a1.z, 0u) * b2; s8 += subgroupBroadcast(a1.w, 0u) * b3;
    s9 += subgroupBroadcast(a1.x, 1u) * b0; s9 += subgroupBroadcast(a1.y, 1u) * b1; s9 += subgroupBroadcast(a1.z, 1u) * b2; s9 += subgroupBroadcast(a1.w, 1u) * b3;
    s10 += subgroupBroadcast(a1.x, 2u) * b0; s10 += subgroupBroadcast(a1.y, 2u) * b1; s10 += subgroupBroadcast(a1.z, 2u) * b2; s10 += subgroupBroadcast(a1.w, 2u) * b3;
    s11 += subgroupBroadcast(a1.x, 3u) * b0; s11 += subgroupBroadcast(a1.y, 3u) * b1; s11 += subgroupBroadcast(a1.z, 3u) * b2; s11 += subgroupBroadcast(a1.w, 3u) * b3;
    s12 += subgroupBroadcast(a1.x, 4u) * b0; s12 += subgroupBroadcast(a1.y, 4u) * b1; s12 += subgroupBroadcast(a1.z, 4u) * b2; s12 += subgroupBroadcast(a1.w, 4u) * b3;
    s13 += subgroupBroadcast(a1.x, 5u) * b0; s13 += subgroupBroadcast(a1.y, 5u) * b1; s13 += subgroupBroadcast(a1.z, 5u) * b2; s13 += subgroupBroadcast(a1.w, 5u) * b3;
    s14 += subgroupBroadcast(a1.x, 6u) * b0; s14 += subgroupBroadcast(a1.y, 6u) * b1; s14 += subgroupBroadcast(a1.z, 6u) * b2; s14 += subgroupBroadcast(a1.w, 6u) * b3;
    s15 += subgroupBroadcast(a1.x, 7u) * b0; s15 += subgroupBroadcast(a1.y, 7u) * b1; s15 += subgroupBroadcast(a1.z, 7u) * b2; s15 += subgroupBroadcast(a1.w, 7u) * b3;
  }
  if (column >= columns) { return; }
  // Eight rows at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(row + 16u, params.rows);
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
  }
}
