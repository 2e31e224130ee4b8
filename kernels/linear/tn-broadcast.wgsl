// out[M,N] += a[K,M]ᵀ · b[K,N], f32: the weight gradient of a linear layer (a = dOut, b = x, K = tokens), accumulated.
// 16 rows × 32 columns per subgroup of exactly eight lanes. The eight lanes load 2 values of k times 16 rows of a as vec4.
// Sums run over k in one order: deterministic. Needs M % 4 == 0 and N % 4 == 0; any K.
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
  let row = (group.z * 65535u + group.y) * 16u;
  let column = group.x * 8u + lane;
  let safe_column = min(column, columns - 1u);
  let a_column = min(row / 4u + lane % 4u, rows - 1u);
  let a_k = lane / 4u;
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
  for (var k = 0u; k < params.inner; k += 2u) {
    let loaded = a[min(k + a_k, last) * rows + a_column];
    let a0 = select(vec4f(), loaded, k + a_k <= last);
    let b0 = b[k * columns + safe_column];
    let b1 = b[min(k + 1u, last) * columns + safe_column];
    s0 += subgroupBroadcast(a0.x, 0u) * b0; s0 += subgroupBroadcast(a0.x, 4u) * b1;
    s1 += subgroupBroadcast(a0.y, 0u) * b0; s1 += subgroupBroadcast(a0.y, 4u) * b1;
    s2 += subgroupBroadcast(a0.z, 0u) * b0; s2 += subgroupBroadcast(a0.z, 4u) * b1;
    s3 += subgroupBroadcast(a0.w, 0u) * b0; s3 += subgroupBroadcast(a0.w, 4u) * b1;
    s4 += subgroupBroadcast(a0.x, 1u) * b0; s4 += subgroupBroadcast(a0.x, 5u) * b1;
    s5 += subgroupBroadcast(a0.y, 1u) * b0; s5 += subgroupBroadcast(a0.y, 5u) * b1;
    s6 += subgroupBroadcast(a0.z, 1u) * b0; s6 += subgroupBroadcast(a0.z, 5u) * b1;
    s7 += subgroupBroadcast(a0.w, 1u) * b0; s7 += subgroupBroadcast(a0.w, 5u) * b1;
    s8 += subgroupBroadcast(a0.x, 2u) * b0; s8 += subgroupBroadcast(a0.x, 6u) * b1;
    s9 += subgroupBroadcast(a0.y, 2u) * b0; s9 += subgroupBroadcast(a0.y, 6u) * b1;
    s10 += subgroupBroadcast(a0.z, 2u) * b0; s10 += subgroupBroadcast(a0.z, 6u) * b1;
    s11 += subgroupBroadcast(a0.w, 2u) * b0; s11 += subgroupBroadcast(a0.w, 6u) * b1;
    s12 += subgroupBroadcast(a0.x, 3u) * b0; s12 += subgroupBroadcast(a0.x, 7u) * b1;
    s13 += subgroupBroadcast(a0.y, 3u) * b0; s13 += subgroupBroadcast(a0.y, 7u) * b1;
    s14 += subgroupBroadcast(a0.z, 3u) * b0; s14 += subgroupBroadcast(a0.z, 7u) * b1;
    s15 += subgroupBroadcast(a0.w, 3u) * b0; s15 += subgroupBroadcast(a0.w, 7u) * b1;
  }
  if (column >= columns) { return; }
  // Eight rows at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(row + 16u, params.rows);
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
  }
}
