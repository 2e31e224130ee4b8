// Implicit GEMM of a 2D convolution, f32, NHWC: 32 pixels × 16 channels per subgroup of exactly eight lanes, no workgroup memory.
//   out[p, o] = Σ_tap Σ_c x[source(p, tap), c] · weight[o, tap, c] (+ bias[o]) (+ residual[p, o])
// x [B, Hi, Wi, C], weight [O, kernel, kernel, C], out [B, Ho, Wo, O]. source(y, t) = n >> shift with n = y·step + t·sign + offset;
// zero where n < 0, n is odd under shift 1, or n >> shift ≥ Hi. One rule serves the forward pass (sign 1, offset -padding), the input
// gradient (transposed weight, sign -1, offset padding, step 1), and strides that widen instead of narrow (shift 1). In the last
// case pixels may be taken in four rounds, even and odd rows and columns apart: the pixels of a tile then need the same quarter of the taps.
// Per tap every lane loads a different vec4 of channels: of 4 pixels and of 2 weight rows; pixels are shared by subgroupBroadcast
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
  let first = tile * 32u;
  if (first >= params.pixels) { return; }
  let channels = params.in_channels / 4u;
  let channel = group.z * 16u + lane;
  let last = params.out_channels - 1u;
  let row_stride = params.kernel * params.kernel * channels;
  let pixel0 = pixel_at(first + 0u + lane);
  let pixel1 = pixel_at(first + 8u + lane);
  let pixel2 = pixel_at(first + 16u + lane);
  let pixel3 = pixel_at(first + 24u + lane);
  var w_base0 = min(channel + 0u, last) * row_stride;
  var w_base1 = min(channel + 8u, last) * row_stride;
  var s0_0 = 0.0; var s0_1 = 0.0;
  var s1_0 = 0.0; var s1_1 = 0.0;
  var s2_0 = 0.0; var s2_1 = 0.0;
  var s3_0 = 0.0; var s3_1 = 0.0;
  var s4_0 = 0.0; var s4_1 = 0.0;
  var s5_0 = 0.0; var s5_1 = 0.0;
  var s6_0 = 0.0; var s6_1 = 0.0;
  var s7_0 = 0.0; var s7_1 = 0.0;
  var s8_0 = 0.0; var s8_1 = 0.0;
  var s9_0 = 0.0; var s9_1 = 0.0;
  var s10_0 = 0.0; var s10_1 = 0.0;
  var s11_0 = 0.0; var s11_1 = 0.0;
  var s12_0 = 0.0; var s12_1 = 0.0;
  var s13_0 = 0.0; var s13_1 = 0.0;
  var s14_0 = 0.0; var s14_1 = 0.0;
  var s15_0 = 0.0; var s15_1 = 0.0;
  var s16_0 = 0.0; var s16_1 = 0.0;
  var s17_0 = 0.0; var s17_1 = 0.0;
  var s18_0 = 0.0; var s18_1 = 0.0;
  var s19_0 = 0.0; var s19_1 = 0.0;
  var s20_0 = 0.0; var s20_1 = 0.0;
  var s21_0 = 0.0; var s21_1 = 0.0;
  var s22_0 = 0.0; var s22_1 = 0.0;
  var s23_0 = 0.0; var s23_1 = 0.0;
  var s24_0 = 0.0; var s24_1 = 0.0;
  var s25_0 = 0.0; var s25_1 = 0.0;
  var s26_0 = 0.0; var s26_1 = 0.0;
  var s27_0 = 0.0; var s27_1 = 0.0;
  var s28_0 = 0.0; var s28_1 = 0.0;
  var s29_0 = 0.0; var s29_1 = 0.0;
  var s30_0 = 0.0; var s30_1 = 0.0;
  var s31_0 = 0.0; var s31_1 = 0.0;
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
          let w0 = weight[w_base0 + k]; let w1 = weight[w_base1 + k];
          { let a = subgroupBroadcast(x0.x, 0u); s0_0 += a * w0.x; s0_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 0u); s0_0 += a * w0.y; s0_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 0u); s0_0 += a * w0.z; s0_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 0u); s0_0 += a * w0.w; s0_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 1u); s1_0 += a * w0.x; s1_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 1u); s1_0 += a * w0.y; s1_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 1u); s1_0 += a * w0.z; s1_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 1u); s1_0 += a * w0.w; s1_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 2u); s2_0 += a * w0.x; s2_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 2u); s2_0 += a * w0.y; s2_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 2u); s2_0 += a * w0.z; s2_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 2u); s2_0 += a * w0.w; s2_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 3u); s3_0 += a * w0.x; s3_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 3u); s3_0 += a * w0.y; s3_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 3u); s3_0 += a * w0.z; s3_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 3u); s3_0 += a * w0.w; s3_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 4u); s4_0 += a * w0.x; s4_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 4u); s4_0 += a * w0.y; s4_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 4u); s4_0 += a * w0.z; s4_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 4u); s4_0 += a * w0.w; s4_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 5u); s5_0 += a * w0.x; s5_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 5u); s5_0 += a * w0.y; s5_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 5u); s5_0 += a * w0.z; s5_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 5u); s5_0 += a * w0.w; s5_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 6u); s6_0 += a * w0.x; s6_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 6u); s6_0 += a * w0.y; s6_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 6u); s6_0 += a * w0.z; s6_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 6u); s6_0 += a * w0.w; s6_1 += a * w1.w; }
          { let a = subgroupBroadcast(x0.x, 7u); s7_0 += a * w0.x; s7_1 += a * w1.x; }
          { let a = subgroupBroadcast(x0.y, 7u); s7_0 += a * w0.y; s7_1 += a * w1.y; }
          { let a = subgroupBroadcast(x0.z, 7u); s7_0 += a * w0.z; s7_1 += a * w1.z; }
          { let a = subgroupBroadcast(x0.w, 7u); s7_0 += a * w0.w; s7_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 0u); s8_0 += a * w0.x; s8_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 0u); s8_0 += a * w0.y; s8_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 0u); s8_0 += a * w0.z; s8_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 0u); s8_0 += a * w0.w; s8_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 1u); s9_0 += a * w0.x; s9_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 1u); s9_0 += a * w0.y; s9_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 1u); s9_0 += a * w0.z; s9_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 1u); s9_0 += a * w0.w; s9_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 2u); s10_0 += a * w0.x; s10_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 2u); s10_0 += a * w0.y; s10_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 2u); s10_0 += a * w0.z; s10_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 2u); s10_0 += a * w0.w; s10_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 3u); s11_0 += a * w0.x; s11_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 3u); s11_0 += a * w0.y; s11_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 3u); s11_0 += a * w0.z; s11_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 3u); s11_0 += a * w0.w; s11_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 4u); s12_0 += a * w0.x; s12_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 4u); s12_0 += a * w0.y; s12_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 4u); s12_0 += a * w0.z; s12_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 4u); s12_0 += a * w0.w; s12_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 5u); s13_0 += a * w0.x; s13_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 5u); s13_0 += a * w0.y; s13_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 5u); s13_0 += a * w0.z; s13_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 5u); s13_0 += a * w0.w; s13_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 6u); s14_0 += a * w0.x; s14_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 6u); s14_0 += a * w0.y; s14_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 6u); s14_0 += a * w0.z; s14_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 6u); s14_0 += a * w0.w; s14_1 += a * w1.w; }
          { let a = subgroupBroadcast(x1.x, 7u); s15_0 += a * w0.x; s15_1 += a * w1.x; }
          { let a = subgroupBroadcast(x1.y, 7u); s15_0 += a * w0.y; s15_1 += a * w1.y; }
          { let a = subgroupBroadcast(x1.z, 7u); s15_0 += a * w0.z; s15_1 += a * w1.z; }
          { let a = subgroupBroadcast(x1.w, 7u); s15_0 += a * w0.w; s15_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 0u); s16_0 += a * w0.x; s16_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 0u); s16_0 += a * w0.y; s16_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 0u); s16_0 += a * w0.z; s16_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 0u); s16_0 += a * w0.w; s16_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 1u); s17_0 += a * w0.x; s17_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 1u); s17_0 += a * w0.y; s17_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 1u); s17_0 += a * w0.z; s17_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 1u); s17_0 += a * w0.w; s17_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 2u); s18_0 += a * w0.x; s18_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 2u); s18_0 += a * w0.y; s18_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 2u); s18_0 += a * w0.z; s18_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 2u); s18_0 += a * w0.w; s18_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 3u); s19_0 += a * w0.x; s19_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 3u); s19_0 += a * w0.y; s19_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 3u); s19_0 += a * w0.z; s19_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 3u); s19_0 += a * w0.w; s19_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 4u); s20_0 += a * w0.x; s20_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 4u); s20_0 += a * w0.y; s20_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 4u); s20_0 += a * w0.z; s20_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 4u); s20_0 += a * w0.w; s20_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 5u); s21_0 += a * w0.x; s21_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 5u); s21_0 += a * w0.y; s21_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 5u); s21_0 += a * w0.z; s21_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 5u); s21_0 += a * w0.w; s21_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 6u); s22_0 += a * w0.x; s22_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 6u); s22_0 += a * w0.y; s22_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 6u); s22_0 += a * w0.z; s22_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 6u); s22_0 += a * w0.w; s22_1 += a * w1.w; }
          { let a = subgroupBroadcast(x2.x, 7u); s23_0 += a * w0.x; s23_1 += a * w1.x; }
          { let a = subgroupBroadcast(x2.y, 7u); s23_0 += a * w0.y; s23_1 += a * w1.y; }
          { let a = subgroupBroadcast(x2.z, 7u); s23_0 += a * w0.z; s23_1 += a * w1.z; }
          { let a = subgroupBroadcast(x2.w, 7u); s23_0 += a * w0.w; s23_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 0u); s24_0 += a * w0.x; s24_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 0u); s24_0 += a * w0.y; s24_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 0u); s24_0 += a * w0.z; s24_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 0u); s24_0 += a * w0.w; s24_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 1u); s25_0 += a * w0.x; s25_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 1u); s25_0 += a * w0.y; s25_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 1u); s25_0 += a * w0.z; s25_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 1u); s25_0 += a * w0.w; s25_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 2u); s26_0 += a * w0.x; s26_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 2u); s26_0 += a * w0.y; s26_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 2u); s26_0 += a * w0.z; s26_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 2u); s26_0 += a * w0.w; s26_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 3u); s27_0 += a * w0.x; s27_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 3u); s27_0 += a * w0.y; s27_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 3u); s27_0 += a * w0.z; s27_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 3u); s27_0 += a * w0.w; s27_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 4u); s28_0 += a * w0.x; s28_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 4u); s28_0 += a * w0.y; s28_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 4u); s28_0 += a * w0.z; s28_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 4u); s28_0 += a * w0.w; s28_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 5u); s29_0 += a * w0.x; s29_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 5u); s29_0 += a * w0.y; s29_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 5u); s29_0 += a * w0.z; s29_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 5u); s29_0 += a * w0.w; s29_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 6u); s30_0 += a * w0.x; s30_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 6u); s30_0 += a * w0.y; s30_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 6u); s30_0 += a * w0.z; s30_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 6u); s30_0 += a * w0.w; s30_1 += a * w1.w; }
          { let a = subgroupBroadcast(x3.x, 7u); s31_0 += a * w0.x; s31_1 += a * w1.x; }
          { let a = subgroupBroadcast(x3.y, 7u); s31_0 += a * w0.y; s31_1 += a * w1.y; }
          { let a = subgroupBroadcast(x3.z, 7u); s31_0 += a * w0.z; s31_1 += a * w1.z; }
          { let a = subgroupBroadcast(x3.w, 7u); s31_0 += a * w0.w; s31_1 += a * w1.w; }
        }
      }
      w_base0 += channels; w_base1 += channels;
    }
  }
  var index0 = index_of(pixel0);
  var index1 = index_of(pixel1);
  var index2 = index_of(pixel2);
  var index3 = index_of(pixel3);
  // Eight pixels at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(first + 32u, params.pixels);
  for (var place = first; place < end; place += 8u) {
    { let p = subgroupBroadcast(index0, 0u); store(place, p, channel + 0u, s0_0); store(place, p, channel + 8u, s0_1); }
    { let p = subgroupBroadcast(index0, 1u); store(place + 1u, p, channel + 0u, s1_0); store(place + 1u, p, channel + 8u, s1_1); }
    { let p = subgroupBroadcast(index0, 2u); store(place + 2u, p, channel + 0u, s2_0); store(place + 2u, p, channel + 8u, s2_1); }
    { let p = subgroupBroadcast(index0, 3u); store(place + 3u, p, channel + 0u, s3_0); store(place + 3u, p, channel + 8u, s3_1); }
    { let p = subgroupBroadcast(index0, 4u); store(place + 4u, p, channel + 0u, s4_0); store(place + 4u, p, channel + 8u, s4_1); }
    { let p = subgroupBroadcast(index0, 5u); store(place + 5u, p, channel + 0u, s5_0); store(place + 5u, p, channel + 8u, s5_1); }
    { let p = subgroupBroadcast(index0, 6u); store(place + 6u, p, channel + 0u, s6_0); store(place + 6u, p, channel + 8u, s6_1); }
    { let p = subgroupBroadcast(index0, 7u); store(place + 7u, p, channel + 0u, s7_0); store(place + 7u, p, channel + 8u, s7_1); }
    index0 = index1; index1 = index2; index2 = index3;
    s0_0 = s8_0; s0_1 = s8_1; s1_0 = s9_0; s1_1 = s9_1; s2_0 = s10_0; s2_1 = s10_1; s3_0 = s11_0; s3_1 = s11_1;
    s4_0 = s12_0; s4_1 = s12_1; s5_0 = s13_0; s5_1 = s13_1; s6_0 = s14_0; s6_1 = s14_1; s7_0 = s15_0; s7_1 = s15_1;
    s8_0 = s16_0; s8_1 = s16_1; s9_0 = s17_0; s9_1 = s17_1; s10_0 = s18_0; s10_1 = s18_1; s11_0 = s19_0; s11_1 = s19_1;
    s12_0 = s20_0; s12_1 = s20_1; s13_0 = s21_0; s13_1 = s21_1; s14_0 = s22_0; s14_1 = s22_1; s15_0 = s23_0; s15_1 = s23_1;
    s16_0 = s24_0; s16_1 = s24_1; s17_0 = s25_0; s17_1 = s25_1; s18_0 = s26_0; s18_1 = s26_1; s19_0 = s27_0; s19_1 = s27_1;
    s20_0 = s28_0; s20_1 = s28_1; s21_0 = s29_0; s21_1 = s29_1; s22_0 = s30_0; s22_1 = s30_1; s23_0 = s31_0; s23_1 = s31_1;
  }
}
