// Implicit GEMM of a 2D convolution, f32, NHWC: 16 pixels × 32 channels per subgroup of exactly eight lanes, no workgroup memory.
//   out[p, o] = Σ_tap Σ_c x[source(p, tap), c] · weight[o, tap, c] (+ bias[o]) (+ residual[p, o])
// x [B, Hi, Wi, C], weight [O, kernel, kernel, C], out [B, Ho, Wo, O]. source(y, t) = n >> shift with n = y·step + t·sign + offset;
// zero where n < 0, n is odd under shift 1, or n >> shift ≥ Hi. One rule serves the forward pass (sign 1, offset -padding), the input
// gradient (transposed weight, sign -1, offset padding, step 1), and strides that widen instead of narrow (shift 1). In the last
// case pixels may be taken in four rounds, even and odd rows and columns apart: the pixels of a tile then need the same quarter of the taps.
// Per tap every lane loads a different vec4 of channels: of 2 pixels and of 4 weight rows; pixels are shared by subgroupBroadcast
// (see linear/nt-broadcast-16). A pixel's sum runs in one order whatever the batch is. Needs C % 4 == 0.
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

fn store(place: u32, pixel: u32, channel: u32, value: f32) {
  if (place < params.pixels && channel < params.out_channels) {
    let index = pixel * params.out_channels + channel;
    var result = value;
    if (params.has_bias != 0u) { result += bias[channel]; }
    if (params.has_residual != 0u) { result += residual[index]; }
    out[index] = result;
  }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = group.y * groups.x + group.x;
  let first = tile * 16u;
  if (first >= params.pixels) { return; }
  let channels = params.in_channels / 4u;
  let channel = group.z * 32u + lane;
  let last = params.out_channels - 1u;
  let row_stride = params.kernel * params.kernel * channels;
  let pixel0 = pixel_at(first + 0u + lane);
  let pixel1 = pixel_at(first + 8u + lane);
  var w_base0 = min(channel + 0u, last) * row_stride;
  var w_base1 = min(channel + 8u, last) * row_stride;
  var w_base2 = min(channel + 16u, last) * row_stride;
  var w_base3 = min(channel + 24u, last) * row_stride;
  var s0_0 = 0.0; var s0_1 = 0.0; var s0_2 = 0.0; var s0_3 = 0.0;
  var s1_0 = 0.0; var s1_1 = 0.0; var s1_2 = 0.0; var s1_3 = 0.0;
  var s2_0 = 0.0; var s2_1 = 0.0; var s2_2 = 0.0; var s2_3 = 0.0;
  var s3_0 = 0.0; var s3_1 = 0.0; var s3_2 = 0.0; var s3_3 = 0.0;
  var s4_0 = 0.0; var s4_1 = 0.0; var s4_2 = 0.0; var s4_3 = 0.0;
  var s5_0 = 0.0; var s5_1 = 0.0; var s5_2 = 0.0; var s5_3 = 0.0;
  var s6_0 = 0.0; var s6_1 = 0.0; var s6_2 = 0.0; var s6_3 = 0.0;
  var s7_0 = 0.0; var s7_1 = 0.0; var s7_2 = 0.0; var s7_3 = 0.0;
  var s8_0 = 0.0; var s8_1 = 0.0; var s8_2 = 0.0; var s8_3 = 0.0;
  var s9_0 = 0.0; var s9_1 = 0.0; var s9_2 = 0.0; var s9_3 = 0.0;
  var s10_0 = 0.0; var s10_1 = 0.0; var s10_2 = 0.0; var s10_3 = 0.0;
  var s11_0 = 0.0; var s11_1 = 0.0; var s11_2 = 0.0; var s11_3 = 0.0;
  var s12_0 = 0.0; var s12_1 = 0.0; var s12_2 = 0.0; var s12_3 = 0.0;
  var s13_0 = 0.0; var s13_1 = 0.0; var s13_2 = 0.0; var s13_3 = 0.0;
  var s14_0 = 0.0; var s14_1 = 0.0; var s14_2 = 0.0; var s14_3 = 0.0;
  var s15_0 = 0.0; var s15_1 = 0.0; var s15_2 = 0.0; var s15_3 = 0.0;
  for (var ty = 0; ty < i32(params.kernel); ty++) {
    for (var tx = 0; tx < i32(params.kernel); tx++) {
      let from0 = source(pixel0, ty, tx);
      let from1 = source(pixel1, ty, tx);
      if (subgroupAny(from0 >= 0 || from1 >= 0)) {
        let inside0 = from0 >= 0; let base0 = u32(max(from0, 0));
        let inside1 = from1 >= 0; let base1 = u32(max(from1, 0));
        for (var k = 0u; k < channels; k++) {
          let x0 = select(vec4f(), x[base0 + k], inside0);
          let x1 = select(vec4f(), x[base1 + k], inside1);
          let w0 = weight[w_base0 + k]; let w1 = weight[w_base1 + k]; let w2 = weight[w_base2 + k]; let w3 = weight[w_base3 + k];
          { let a = subgroupBroadcast(x0.x, 0u); s0_0 += a * w0.x; s0_1 += a * w1.x; s0_2 += a * w2.x; s0_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 0u); s0_0 += a * w0.y; s0_1 += a * w1.y; s0_2 += a * w2.y; s0_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 0u); s0_0 += a * w0.z; s0_1 += a * w1.z; s0_2 += a * w2.z; s0_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 0u); s0_0 += a * w0.w; s0_1 += a * w1.w; s0_2 += a * w2.w; s0_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 1u); s1_0 += a * w0.x; s1_1 += a * w1.x; s1_2 += a * w2.x; s1_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 1u); s1_0 += a * w0.y; s1_1 += a * w1.y; s1_2 += a * w2.y; s1_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 1u); s1_0 += a * w0.z; s1_1 += a * w1.z; s1_2 += a * w2.z; s1_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 1u); s1_0 += a * w0.w; s1_1 += a * w1.w; s1_2 += a * w2.w; s1_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 2u); s2_0 += a * w0.x; s2_1 += a * w1.x; s2_2 += a * w2.x; s2_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 2u); s2_0 += a * w0.y; s2_1 += a * w1.y; s2_2 += a * w2.y; s2_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 2u); s2_0 += a * w0.z; s2_1 += a * w1.z; s2_2 += a * w2.z; s2_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 2u); s2_0 += a * w0.w; s2_1 += a * w1.w; s2_2 += a * w2.w; s2_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 3u); s3_0 += a * w0.x; s3_1 += a * w1.x; s3_2 += a * w2.x; s3_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 3u); s3_0 += a * w0.y; s3_1 += a * w1.y; s3_2 += a * w2.y; s3_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 3u); s3_0 += a * w0.z; s3_1 += a * w1.z; s3_2 += a * w2.z; s3_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 3u); s3_0 += a * w0.w; s3_1 += a * w1.w; s3_2 += a * w2.w; s3_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 4u); s4_0 += a * w0.x; s4_1 += a * w1.x; s4_2 += a * w2.x; s4_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 4u); s4_0 += a * w0.y; s4_1 += a * w1.y; s4_2 += a * w2.y; s4_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 4u); s4_0 += a * w0.z; s4_1 += a * w1.z; s4_2 += a * w2.z; s4_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 4u); s4_0 += a * w0.w; s4_1 += a * w1.w; s4_2 += a * w2.w; s4_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 5u); s5_0 += a * w0.x; s5_1 += a * w1.x; s5_2 += a * w2.x; s5_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 5u); s5_0 += a * w0.y; s5_1 += a * w1.y; s5_2 += a * w2.y; s5_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 5u); s5_0 += a * w0.z; s5_1 += a * w1.z; s5_2 += a * w2.z; s5_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 5u); s5_0 += a * w0.w; s5_1 += a * w1.w; s5_2 += a * w2.w; s5_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 6u); s6_0 += a * w0.x; s6_1 += a * w1.x; s6_2 += a * w2.x; s6_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 6u); s6_0 += a * w0.y; s6_1 += a * w1.y; s6_2 += a * w2.y; s6_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 6u); s6_0 += a * w0.z; s6_1 += a * w1.z; s6_2 += a * w2.z; s6_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 6u); s6_0 += a * w0.w; s6_1 += a * w1.w; s6_2 += a * w2.w; s6_3 += a * w3.w; }
          { let a = subgroupBroadcast(x0.x, 7u); s7_0 += a * w0.x; s7_1 += a * w1.x; s7_2 += a * w2.x; s7_3 += a * w3.x; }
          { let a = subgroupBroadcast(x0.y, 7u); s7_0 += a * w0.y; s7_1 += a * w1.y; s7_2 += a * w2.y; s7_3 += a * w3.y; }
          { let a = subgroupBroadcast(x0.z, 7u); s7_0 += a * w0.z; s7_1 += a * w1.z; s7_2 += a * w2.z; s7_3 += a * w3.z; }
          { let a = subgroupBroadcast(x0.w, 7u); s7_0 += a * w0.w; s7_1 += a * w1.w; s7_2 += a * w2.w; s7_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 0u); s8_0 += a * w0.x; s8_1 += a * w1.x; s8_2 += a * w2.x; s8_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 0u); s8_0 += a * w0.y; s8_1 += a * w1.y; s8_2 += a * w2.y; s8_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 0u); s8_0 += a * w0.z; s8_1 += a * w1.z; s8_2 += a * w2.z; s8_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 0u); s8_0 += a * w0.w; s8_1 += a * w1.w; s8_2 += a * w2.w; s8_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 1u); s9_0 += a * w0.x; s9_1 += a * w1.x; s9_2 += a * w2.x; s9_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 1u); s9_0 += a * w0.y; s9_1 += a * w1.y; s9_2 += a * w2.y; s9_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 1u); s9_0 += a * w0.z; s9_1 += a * w1.z; s9_2 += a * w2.z; s9_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 1u); s9_0 += a * w0.w; s9_1 += a * w1.w; s9_2 += a * w2.w; s9_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 2u); s10_0 += a * w0.x; s10_1 += a * w1.x; s10_2 += a * w2.x; s10_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 2u); s10_0 += a * w0.y; s10_1 += a * w1.y; s10_2 += a * w2.y; s10_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 2u); s10_0 += a * w0.z; s10_1 += a * w1.z; s10_2 += a * w2.z; s10_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 2u); s10_0 += a * w0.w; s10_1 += a * w1.w; s10_2 += a * w2.w; s10_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 3u); s11_0 += a * w0.x; s11_1 += a * w1.x; s11_2 += a * w2.x; s11_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 3u); s11_0 += a * w0.y; s11_1 += a * w1.y; s11_2 += a * w2.y; s11_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 3u); s11_0 += a * w0.z; s11_1 += a * w1.z; s11_2 += a * w2.z; s11_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 3u); s11_0 += a * w0.w; s11_1 += a * w1.w; s11_2 += a * w2.w; s11_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 4u); s12_0 += a * w0.x; s12_1 += a * w1.x; s12_2 += a * w2.x; s12_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 4u); s12_0 += a * w0.y; s12_1 += a * w1.y; s12_2 += a * w2.y; s12_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 4u); s12_0 += a * w0.z; s12_1 += a * w1.z; s12_2 += a * w2.z; s12_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 4u); s12_0 += a * w0.w; s12_1 += a * w1.w; s12_2 += a * w2.w; s12_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 5u); s13_0 += a * w0.x; s13_1 += a * w1.x; s13_2 += a * w2.x; s13_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 5u); s13_0 += a * w0.y; s13_1 += a * w1.y; s13_2 += a * w2.y; s13_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 5u); s13_0 += a * w0.z; s13_1 += a * w1.z; s13_2 += a * w2.z; s13_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 5u); s13_0 += a * w0.w; s13_1 += a * w1.w; s13_2 += a * w2.w; s13_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 6u); s14_0 += a * w0.x; s14_1 += a * w1.x; s14_2 += a * w2.x; s14_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 6u); s14_0 += a * w0.y; s14_1 += a * w1.y; s14_2 += a * w2.y; s14_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 6u); s14_0 += a * w0.z; s14_1 += a * w1.z; s14_2 += a * w2.z; s14_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 6u); s14_0 += a * w0.w; s14_1 += a * w1.w; s14_2 += a * w2.w; s14_3 += a * w3.w; }
          { let a = subgroupBroadcast(x1.x, 7u); s15_0 += a * w0.x; s15_1 += a * w1.x; s15_2 += a * w2.x; s15_3 += a * w3.x; }
          { let a = subgroupBroadcast(x1.y, 7u); s15_0 += a * w0.y; s15_1 += a * w1.y; s15_2 += a * w2.y; s15_3 += a * w3.y; }
          { let a = subgroupBroadcast(x1.z, 7u); s15_0 += a * w0.z; s15_1 += a * w1.z; s15_2 += a * w2.z; s15_3 += a * w3.z; }
          { let a = subgroupBroadcast(x1.w, 7u); s15_0 += a * w0.w; s15_1 += a * w1.w; s15_2 += a * w2.w; s15_3 += a * w3.w; }
        }
      }
      w_base0 += channels; w_base1 += channels; w_base2 += channels; w_base3 += channels;
    }
  }
  var index0 = index_of(pixel0);
  var index1 = index_of(pixel1);
  // Eight pixels at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(first + 16u, params.pixels);
  for (var place = first; place < end; place += 8u) {
    { let p = subgroupBroadcast(index0, 0u); store(place, p, channel + 0u, s0_0); store(place, p, channel + 8u, s0_1); store(place, p, channel + 16u, s0_2); store(place, p, channel + 24u, s0_3); }
    { let p = subgroupBroadcast(index0, 1u); store(place + 1u, p, channel + 0u, s1_0); store(place + 1u, p, channel + 8u, s1_1); store(place + 1u, p, channel + 16u, s1_2); store(place + 1u, p, channel + 24u, s1_3); }
    { let p = subgroupBroadcast(index0, 2u); store(place + 2u, p, channel + 0u, s2_0); store(place + 2u, p, channel + 8u, s2_1); store(place + 2u, p, channel + 16u, s2_2); store(place + 2u, p, channel + 24u, s2_3); }
    { let p = subgroupBroadcast(index0, 3u); store(place + 3u, p, channel + 0u, s3_0); store(place + 3u, p, channel + 8u, s3_1); store(place + 3u, p, channel + 16u, s3_2); store(place + 3u, p, channel + 24u, s3_3); }
    { let p = subgroupBroadcast(index0, 4u); store(place + 4u, p, channel + 0u, s4_0); store(place + 4u, p, channel + 8u, s4_1); store(place + 4u, p, channel + 16u, s4_2); store(place + 4u, p, channel + 24u, s4_3); }
    { let p = subgroupBroadcast(index0, 5u); store(place + 5u, p, channel + 0u, s5_0); store(place + 5u, p, channel + 8u, s5_1); store(place + 5u, p, channel + 16u, s5_2); store(place + 5u, p, channel + 24u, s5_3); }
    { let p = subgroupBroadcast(index0, 6u); store(place + 6u, p, channel + 0u, s6_0); store(place + 6u, p, channel + 8u, s6_1); store(place + 6u, p, channel + 16u, s6_2); store(place + 6u, p, channel + 24u, s6_3); }
    { let p = subgroupBroadcast(index0, 7u); store(place + 7u, p, channel + 0u, s7_0); store(place + 7u, p, channel + 8u, s7_1); store(place + 7u, p, channel + 16u, s7_2); store(place + 7u, p, channel + 24u, s7_3); }
    index0 = index1;
    s0_0 = s8_0; s0_1 = s8_1; s0_2 = s8_2; s0_3 = s8_3; s1_0 = s9_0; s1_1 = s9_1; s1_2 = s9_2; s1_3 = s9_3;
    s2_0 = s10_0; s2_1 = s10_1; s2_2 = s10_2; s2_3 = s10_3; s3_0 = s11_0; s3_1 = s11_1; s3_2 = s11_2; s3_3 = s11_3;
    s4_0 = s12_0; s4_1 = s12_1; s4_2 = s12_2; s4_3 = s12_3; s5_0 = s13_0; s5_1 = s13_1; s5_2 = s13_2; s5_3 = s13_3;
    s6_0 = s14_0; s6_1 = s14_1; s6_2 = s14_2; s6_3 = s14_3; s7_0 = s15_0; s7_1 = s15_1; s7_2 = s15_2; s7_3 = s15_3;
  }
}
