// dValue[b, y, x, c] = Σ of the four dOut[b, 2y + i, 2x + j, c]. One thread per vec4 of channels; C % 4 == 0.
struct Params {
  count: u32,     // vec4s of dValue
  width: u32,     // of dValue
  channels: u32,
}

@group(0) @binding(0) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> d_value: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let channels = params.channels / 4u;
  let pixel = index / channels;
  let line = pixel / params.width;
  let x = pixel - line * params.width;
  let row = 2u * params.width * channels;
  let base = line * 2u * row + 2u * x * channels + index - pixel * channels;
  d_value[index] = d_out[base] + d_out[base + channels] + d_out[base + row] + d_out[base + row + channels];
}
