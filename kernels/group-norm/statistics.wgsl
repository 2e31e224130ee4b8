// Per image, chunk of pixels and channel: partial = (mean, Σ (x - mean)²) over the chunk. Two passes over a chunk that stays in
// the cache, so that no large sums cancel. One thread per vec4 of channels; neighboring threads have neighboring channels.
struct Params {
  images: u32,
  pixels: u32,      // H · W
  channels: u32,    // C % 4 == 0
  chunks: u32,
  chunk: u32,       // pixels of a chunk; the last may be shorter
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> means: array<vec4f>;   // [images, chunks, C]
@group(0) @binding(2) var<storage, read_write> squares: array<vec4f>; // [images, chunks, C]
@group(0) @binding(3) var<uniform> params: Params;

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
  let base = image * params.pixels;
  var sum = vec4f();
  for (var p = first; p < last; p++) { sum += x[(base + p) * channels + channel]; }
  let mean = sum / f32(last - first);
  var square = vec4f();
  for (var p = first; p < last; p++) {
    let d = x[(base + p) * channels + channel] - mean;
    square += d * d;
  }
  means[index] = mean;
  squares[index] = square;
}
