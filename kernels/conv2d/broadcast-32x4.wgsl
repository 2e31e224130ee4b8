// The sibling of conv2d/broadcast-32x16 for exactly four channels of output, the last layer of a decoder, where that tile would compute
// sixteen: 32 pixels × 4 channels per subgroup of exactly eight lanes. Here a lane owns four pixels, the weights of a tap and of four input
// channels are loaded by four lanes and shared by subgroupBroadcast. C % 4 == 0 and O == 4.
enable subgroups;
diagnostic(off, subgroup_uniformity);  // a tap is skipped when no lane needs it: uniform within the only subgroup

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

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
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

fn index_of(pixel: vec3u) -> u32 {
  return (pixel.x * params.out_height + pixel.y) * params.out_width + pixel.z;
}

// index of the first vec4 of the source pixel, or -1 where it is outside
fn source(pixel: vec3u, ty: i32, tx: i32) -> i32 {
  let y = i32(pixel.y) * params.step + ty * params.sign + params.offset;
  let x = i32(pixel.z) * params.step + tx * params.sign + params.offset;
  let sy = y >> params.shift;
  let sx = x >> params.shift;
  let inside = y >= 0 && x >= 0 && ((y | x) & i32(params.shift)) == 0 && sy < i32(params.in_height) && sx < i32(params.in_width);
  return select(-1, ((i32(pixel.x) * i32(params.in_height) + sy) * i32(params.in_width) + sx) * i32(params.in_channels / 4u), inside);
}

fn store(place: u32, pixel: vec3u, value: vec4f) {
  if (place >= params.pixels) { return; }
  let index = index_of(pixel);
  var result = value;
  if (params.has_bias != 0u) { result += bias[0]; }
  if (params.has_residual != 0u) { result += residual[index]; }
  out[index] = result;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = group.y * groups.x + group.x;
  let first = tile * 32u;
  if (first >= params.pixels) { return; }
  let channels = params.in_channels / 4u;
  var w_base = lane % 4u * params.kernel * params.kernel * channels;
  let pixel0 = pixel_at(first + 0u + lane);
  let pixel1 = pixel_at(first + 8u + lane);
  let pixel2 = pixel_at(first + 16u + lane);
  let pixel3 = pixel_at(first + 24u + lane);
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var ty = 0; ty < i32(params.kernel); ty++) {
    for (var tx = 0; tx < i32(params.kernel); tx++) {
      let from0 = source(pixel0, ty, tx);
      let from1 = source(pixel1, ty, tx);
      let from2 = source(pixel2, ty, tx);
      let from3 = source(pixel3, ty, tx);
      if (subgroupAny(from0 >= 0 || from1 >= 0 || from2 >= 0 || from3 >= 0)) {
        let inside0 = from0 >= 0; let base0 = u32(max(from0, 0));
        let inside1 = from1 >= 0; let base1 = u32(max(from1, 0));
        let inside2 = from2 >= 0; let base2 = u32(max(from2, 0));
        let inside3 = from3 >= 0; let base3 = u32(max(from3, 0));
        for (var k = 0u; k < channels; k++) {
          let x0 = select(vec4f(), x[base0 + k], inside0);
          let x1 = select(vec4f(), x[base1 + k], inside1);
          let x2 = select(vec4f(), x[base2 + k], inside2);
          let x3 = select(vec4f(), x[base3 + k], inside3);
          let w = weight[w_base + k];
          { let v = vec4f(subgroupBroadcast(w.x, 0u), subgroupBroadcast(w.x, 1u), subgroupBroadcast(w.x, 2u), subgroupBroadcast(w.x, 3u)); s0 += x0.x * v; s1 += x1.x * v; s2 += x2.x * v; s3 += x3.x * v; }
          { let v = vec4f(subgroupBroadcast(w.y, 0u), subgroupBroadcast(w.y, 1u), subgroupBroadcast(w.y, 2u), subgroupBroadcast(w.y, 3u)); s0 += x0.y * v; s1 += x1.y * v; s2 += x2.y * v; s3 += x3.y * v; }
          { let v = vec4f(subgroupBroadcast(w.z, 0u), subgroupBroadcast(w.z, 1u), subgroupBroadcast(w.z, 2u), subgroupBroadcast(w.z, 3u)); s0 += x0.z * v; s1 += x1.z * v; s2 += x2.z * v; s3 += x3.z * v; }
          { let v = vec4f(subgroupBroadcast(w.w, 0u), subgroupBroadcast(w.w, 1u), subgroupBroadcast(w.w, 2u), subgroupBroadcast(w.w, 3u)); s0 += x0.w * v; s1 += x1.w * v; s2 += x2.w * v; s3 += x3.w * v; }
        }
      }
      w_base += channels;
    }
  }
  store(first + 0u + lane, pixel0, s0);
  store(first + 8u + lane, pixel1, s1);
  store(first + 16u + lane, pixel2, s2);
  store(first + 24u + lane, pixel3, s3);
}
