// out = f((x - mean) · scale · weight + bias) with mean and scale of the image and group; f = SiLU or nothing.
// One thread per image, chunk of pixels and vec4 of channels; neighboring threads have neighboring channels.
struct Params {
  images: u32,
  pixels: u32,
  channels: u32,
  chunks: u32,
  chunk: u32,
  silu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> mean: array<vec4f>;   // [images, C]
@group(0) @binding(2) var<storage, read> scale: array<vec4f>;  // [images, C]
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let channels = params.channels / 4u;
  if (index >= params.images * params.chunks * channels) { return; }
  let place = index / channels;
  let channel = index - place * channels;
  let image = place / params.chunks;
  let first = (place - image * params.chunks) * params.chunk;
  let last = min(first + params.chunk, params.pixels);
  let average = mean[image * channels + channel];
  let factor = scale[image * channels + channel] * weight[channel];
  let shift = bias[channel];
  for (var p = first; p < last; p++) {
    let at = (image * params.pixels + p) * channels + channel;
    var value = (x[at] - average) * factor + shift;
    if (params.silu != 0u) { value = value / (1.0 + exp(-value)); }
    out[at] = value;
  }
}
