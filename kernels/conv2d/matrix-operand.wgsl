// Pictures as conv2d/matrix.wgsl reads them: x [B, H, W, C] f32, scaled by powers of two and written as PARTS f16 (lib/matrix-parts.wgsl), zeros around each
// picture written out, so that the pixels one tap of a filter meets lie one behind the other: pixel r of the outputs meets pixel r + a constant.
// A part holds step² planes, one for each rest of the coordinates (y, x) divided by `step`; a plane holds the pictures' lines
// `lowest` … `lowest + lines − 1` of that rest, each from pixel `lowest` on, and ends with zeros up to `plane_rows` pixels; a pixel has `depth` ≥ C channels, zeros past the last.
// A thread writes two neighboring channels of 16 places. Counts what is lost.
//! use lib/matrix-parts.wgsl
//! use lib/matrix-counts.wgsl
const PARTS: u32 = 1u;
const BY_CHANNEL: bool = false;  // true: a power of two for each channel, of all pictures; else for each picture

struct Params {
  first_image: u32,  // the first one taken of x
  images: u32,       // so many are taken
  height: u32,
  width: u32,
  channels: u32,     // C
  step: u32,
  lowest: i32,
  lines: u32,
  line_pixels: u32,
  plane_rows: u32,
  depth: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> exponents: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec2<f16>>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>, 6>;
@group(0) @binding(4) var<uniform> params: Params;

const pairs_each = 16u;

// What there is to count of the pair.
fn write_pair(index: u32) -> vec3u {
  let pairs = params.depth / 2u;
  let all = params.step * params.step * params.plane_rows * pairs;
  if (index >= all) { return vec3u(); }
  let channel = index % pairs * 2u;
  let place = index / pairs;
  let plane = place / params.plane_rows;
  let row = place % params.plane_rows;
  let line = row / params.line_pixels;
  let image = line / params.lines;
  let step = i32(params.step);
  let y = (i32(line % params.lines) + params.lowest) * step + i32(plane / params.step);
  let column = (i32(row % params.line_pixels) + params.lowest) * step + i32(plane % params.step);
  var found = vec3u();
  var values = vec2f();
  if (image < params.images && y >= 0 && y < i32(params.height) && column >= 0 && column < i32(params.width)) {
    let picture = params.first_image + image;
    let start = ((picture * params.height + u32(y)) * params.width + u32(column)) * params.channels;
    for (var i = 0u; i < 2u; i++) {
      if (channel + i < params.channels) {
        let value = x[start + channel + i];
        values[i] = value * power(exponents[select(picture, channel + i, BY_CHANNEL)]);
        found += judged(bitcast<u32>(value) & 0x7fffffffu, bitcast<u32>(values[i]) & 0x7fffffffu);
      }
    }
  }
  let parts = split(values.x);
  let others = split(values.y);
  for (var p = 0u; p < PARTS; p++) { out[p * all + index] = vec2<f16>(parts[p], others[p]); }
  return found;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (group.y * groups.x + group.x) * 64u * pairs_each + lane;
  var found = vec3u();
  for (var i = 0u; i < pairs_each; i++) { found += write_pair(first + i * 64u); }
  count(found);
  workgroupBarrier();
  if (lane == 0u) { add_counts(); }
}
