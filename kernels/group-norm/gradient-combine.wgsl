// Adds up the chunks of gradient-partial. Per image and channel: d_bias = Σ e, d_weight = Σ e · n. Per image and group, written once per
// channel: a = Σ_c weight_c d_bias_c / N, b = Σ_c weight_c d_weight_c / N, N = values of the group. One thread per image and group.
struct Params {
  images: u32,
  pixels: u32,
  channels: u32,
  chunks: u32,
  groups: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;      // [images, chunks, C]
@group(0) @binding(1) var<storage, read> products: array<f32>;  // [images, chunks, C]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;    // [images, C]
@group(0) @binding(4) var<storage, read_write> d_weight: array<f32>;  // [images, C]
@group(0) @binding(5) var<storage, read_write> a_and_b: array<f32>;   // [images, 2, C]
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.images * params.groups) { return; }
  let image = id.x / params.groups;
  let width = params.channels / params.groups;
  let first = (id.x - image * params.groups) * width;
  var group_a = 0.0;
  var group_b = 0.0;
  for (var c = first; c < first + width; c++) {
    var sum = 0.0;
    var product = 0.0;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      sum += sums[(image * params.chunks + chunk) * params.channels + c];
      product += products[(image * params.chunks + chunk) * params.channels + c];
    }
    d_bias[image * params.channels + c] = sum;
    d_weight[image * params.channels + c] = product;
    group_a += weight[c] * sum;
    group_b += weight[c] * product;
  }
  let total = f32(params.pixels * width);
  for (var c = first; c < first + width; c++) {
    a_and_b[(2u * image) * params.channels + c] = group_a / total;
    a_and_b[(2u * image + 1u) * params.channels + c] = group_b / total;
  }
}
