// transposed[c, tap, o] = weight[o, tap, c] in blocks of 4 × 4, one per thread. C % 4 == 0 and O % 4 == 0; the faster sibling of
// conv2d/transpose-weight.
struct Params {
  out_channels: u32,  // O
  in_channels: u32,   // C
  taps: u32,
}

@group(0) @binding(0) var<storage, read> weight: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> transposed: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let columns = params.out_channels / 4u;
  let rows = params.in_channels / 4u;
  if (index >= columns * rows * params.taps) { return; }
  let row = index / columns;
  let o = index - row * columns;
  let c = row / params.taps;
  let tap = row - c * params.taps;
  let stride = params.taps * rows;
  let first = o * 4u * stride + tap * rows + c;
  let block = transpose(mat4x4f(weight[first], weight[first + stride], weight[first + 2u * stride], weight[first + 3u * stride]));
  for (var i = 0u; i < 4u; i++) { transposed[((c * 4u + i) * params.taps + tap) * columns + o] = block[i]; }
}
