// out[b, y, x, c] = value[b, y / 2, x / 2, c]. One thread per vec4 of channels; C % 4 == 0.
struct Params {
  count: u32,        // vec4s of out
  out_width: u32,
  channels: u32,
}

@group(0) @binding(0) var<storage, read> value: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  let channels = params.channels / 4u;
  let pixel = index / channels;
  let line = pixel / params.out_width;
  let x = pixel - line * params.out_width;
  // Heights are even, so that line / 2 is the line of the source: images need not be told apart.
  out[index] = value[((line / 2u) * (params.out_width / 2u) + x / 2u) * channels + index - pixel * channels];
}
