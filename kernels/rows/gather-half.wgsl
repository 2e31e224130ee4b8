// out[m, :] = x[rows[m], :], x f16 packed in pairs, out f32 [M, width], width % 4 == 0. One thread per four columns of an output row.
struct Params {
  count: u32,  // M
  width: u32,  // columns, in groups of four
}

@group(0) @binding(0) var<storage, read> x: array<vec2u>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count * params.width) { return; }
  let row = index / params.width;
  let halves = x[rows[row] * params.width + index - row * params.width];
  out[index] = vec4f(unpack2x16float(halves.x), unpack2x16float(halves.y));
}
