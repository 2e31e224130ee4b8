// Mean and 1 / √(variance + epsilon) of every image and group from the partial (mean, Σ (x - mean)²) of its channels and chunks:
//   mean = Σ n_i mean_i / n,  Σ (x - mean)² = Σ [ square_i + n_i (mean_i - mean)² ]
// Written once per channel, so that what reads them loads whole vec4s. One thread per image and group; in order, hence deterministic.
struct Params {
  images: u32,
  pixels: u32,
  channels: u32,
  chunks: u32,
  chunk: u32,
  groups: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> means: array<f32>;    // [images, chunks, C]
@group(0) @binding(1) var<storage, read> squares: array<f32>;  // [images, chunks, C]
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;   // [images, C]
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;  // [images, C]: 1 / deviation
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.images * params.groups) { return; }
  let image = id.x / params.groups;
  let width = params.channels / params.groups;
  let first = (id.x - image * params.groups) * width;
  let total = f32(params.pixels * width);
  var average = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let weight = f32(min(params.chunk, params.pixels - chunk * params.chunk)) / total;
    let base = (image * params.chunks + chunk) * params.channels + first;
    for (var c = 0u; c < width; c++) { average += weight * means[base + c]; }
  }
  var square = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let count = f32(min(params.chunk, params.pixels - chunk * params.chunk));
    let base = (image * params.chunks + chunk) * params.channels + first;
    for (var c = 0u; c < width; c++) {
      let d = means[base + c] - average;
      square += squares[base + c] + count * d * d;
    }
  }
  let inverse = inverseSqrt(square / total + params.epsilon);
  for (var c = 0u; c < width; c++) {
    mean[image * params.channels + first + c] = average;
    scale[image * params.channels + first + c] = inverse;
  }
}
