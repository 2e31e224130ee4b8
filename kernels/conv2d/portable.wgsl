// A 2D convolution for any sizes and any adapter, f32, NHWC; the reference sibling of conv2d/broadcast-16x32, whose header
// explains source, sign, shift and the order of pixels.
//   out[p, o] = Σ_tap Σ_c x[source(p, tap), c] · weight[o, tap, c] (+ bias[o]) (+ residual[p, o])
// One thread owns 4 pixels × 4 channels; 8 × 8 threads. Sums run over taps, then channels, in one order: deterministic.
struct Params {
  pixels: u32,        // B · Ho · Wo
  out_height: u32,
  out_width: u32,
  in_height: u32,
  in_width: u32,
  in_channels: u32,   // C
  out_channels: u32,  // O
  kernel: u32,
  step: i32,
  sign: i32,
  offset: i32,
  shift: u32,         // 0 or 1
  apart: u32,         // 1: rounds, which needs even Ho and Wo
  has_bias: u32,
  has_residual: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// image, y, x of the output pixel that comes at this place in the order
fn pixel_at(place: u32) -> vec3u {
  let p = min(place, params.pixels - 1u);
  let round_pixels = params.pixels >> (2u * params.apart);
  let round = p / round_pixels;
  let q = p - round * round_pixels;
  let width = params.out_width >> params.apart;
  let height = params.out_height >> params.apart;
  let line = q / width;
  let image = line / height;
  let y = ((line - image * height) << params.apart) + (round >> 1u);
  return vec3u(image, y, ((q - line * width) << params.apart) + (round & 1u));
}

// index of the first channel of the source pixel, or -1 where it is outside
fn source(pixel: vec3u, ty: i32, tx: i32) -> i32 {
  let y = i32(pixel.y) * params.step + ty * params.sign + params.offset;
  let x = i32(pixel.z) * params.step + tx * params.sign + params.offset;
  let sy = y >> params.shift;
  let sx = x >> params.shift;
  let inside = y >= 0 && x >= 0 && ((y | x) & i32(params.shift)) == 0 && sy < i32(params.in_height) && sx < i32(params.in_width);
  return select(-1, ((i32(pixel.x) * i32(params.in_height) + sy) * i32(params.in_width) + sx) * i32(params.in_channels), inside);
}

fn load(base: i32, k: u32) -> f32 {
  if (base < 0) { return 0.0; }
  return x[u32(base) + k];
}

fn store(place: u32, pixel: vec3u, channel: u32, values: vec4f) {
  if (place >= params.pixels) { return; }
  let base = ((pixel.x * params.out_height + pixel.y) * params.out_width + pixel.z) * params.out_channels;
  for (var i = 0u; i < 4u; i++) {
    if (channel + i < params.out_channels) {
      let index = base + channel + i;
      var result = values[i];
      if (params.has_bias != 0u) { result += bias[channel + i]; }
      if (params.has_residual != 0u) { result += residual[index]; }
      out[index] = result;
    }
  }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let first = ((group.y * groups.x + group.x) * 8u + local.y) * 4u;
  let channel = (group.z * 8u + local.x) * 4u;
  if (first >= params.pixels || channel >= params.out_channels) { return; }
  let pixel0 = pixel_at(first);
  let pixel1 = pixel_at(first + 1u);
  let pixel2 = pixel_at(first + 2u);
  let pixel3 = pixel_at(first + 3u);
  let last = params.out_channels - 1u;
  let row = params.kernel * params.kernel * params.in_channels;
  var w_base = min(vec4u(channel, channel + 1u, channel + 2u, channel + 3u), vec4u(last)) * row;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var ty = 0; ty < i32(params.kernel); ty++) {
    for (var tx = 0; tx < i32(params.kernel); tx++) {
      let base0 = source(pixel0, ty, tx);
      let base1 = source(pixel1, ty, tx);
      let base2 = source(pixel2, ty, tx);
      let base3 = source(pixel3, ty, tx);
      if (max(max(base0, base1), max(base2, base3)) >= 0) {
        for (var k = 0u; k < params.in_channels; k++) {
          let w = vec4f(weight[w_base.x + k], weight[w_base.y + k], weight[w_base.z + k], weight[w_base.w + k]);
          s0 += load(base0, k) * w;
          s1 += load(base1, k) * w;
          s2 += load(base2, k) * w;
          s3 += load(base3, k) * w;
        }
      }
      w_base += params.in_channels;
    }
  }
  store(first, pixel0, channel, s0);
  store(first + 1u, pixel1, channel, s1);
  store(first + 2u, pixel2, channel, s2);
  store(first + 3u, pixel3, channel, s3);
}
