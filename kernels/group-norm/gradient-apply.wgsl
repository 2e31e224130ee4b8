// dX = scale · (weight · e - a - n · b), with n, e as in gradient-partial and a, b from gradient-combine.
// One thread per image, chunk of pixels and vec4 of channels.
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
@group(0) @binding(5) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(6) var<storage, read> a_and_b: array<vec4f>;  // [images, 2, C]
@group(0) @binding(7) var<storage, read_write> d_x: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

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
  let of_image = image * channels + channel;
  let average = mean[of_image];
  let inverse = scale[of_image];
  let factor = weight[channel];
  let shift = bias[channel];
  let group_a = a_and_b[(2u * image) * channels + channel];
  let group_b = a_and_b[(2u * image + 1u) * channels + channel];
  for (var p = first; p < last; p++) {
    let at = (image * params.pixels + p) * channels + channel;
    let n = (x[at] - average) * inverse;
    var e = d_out[at];
    if (params.silu != 0u) {
      let v = n * factor + shift;
      let s = 1.0 / (1.0 + exp(-v));
      e *= s * (1.0 + v * (1.0 - s));
    }
    d_x[at] = inverse * (factor * e - group_a - n * group_b);
  }
}
