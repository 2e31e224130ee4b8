// Weight gradient of a 2D convolution for any sizes and any adapter: partial[s, o, j] = Σ_p dOut[p, o] · x[source(p, tap), c] over the
// image rows of split s, with j = tap · C + c flattened. One thread owns 4 channels o of one j; neighboring threads have
// neighboring j. reduction/sum-splits adds the splits up in order: deterministic. The sibling of conv2d/weight-gradient-broadcast.
struct Params {
  lines: u32,        // B · Ho
  lines_per_split: u32,
  out_height: u32,
  out_width: u32,
  in_height: u32,
  in_width: u32,
  in_channels: u32,   // C
  out_channels: u32,  // O
  kernel: u32,
  step: i32,
  offset: i32,
}

@group(0) @binding(0) var<storage, read> d_out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;  // [splits, O, kernel · kernel · C]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;     // [splits, O]: Σ dOut, for the bias
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let columns = params.kernel * params.kernel * params.in_channels;
  let column = group.x * 64u + lane;
  if (column >= columns) { return; }
  let tap = column / params.in_channels;
  let channel = column - tap * params.in_channels;
  let ty = i32(tap / params.kernel) + params.offset;
  let tx = i32(tap % params.kernel) + params.offset;
  let o = min(vec4u(group.y * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(params.out_channels - 1u));
  let last_line = min((group.z + 1u) * params.lines_per_split, params.lines);
  var sum = vec4f();
  var total = vec4f();
  for (var line = group.z * params.lines_per_split; line < last_line; line++) {
    let image = line / params.out_height;
    let y = i32(line - image * params.out_height) * params.step + ty;
    let is_inside = y >= 0 && y < i32(params.in_height);
    let x_base = (i32(image * params.in_height) + y) * i32(params.in_width);
    for (var px = 0u; px < params.out_width; px++) {
      let base = (line * params.out_width + px) * params.out_channels;
      let d = vec4f(d_out[base + o.x], d_out[base + o.y], d_out[base + o.z], d_out[base + o.w]);
      total += d;
      let sx = i32(px) * params.step + tx;
      if (is_inside && sx >= 0 && sx < i32(params.in_width)) { sum += x[u32(x_base + sx) * params.in_channels + channel] * d; }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    let row = group.y * 4u + i;
    if (row < params.out_channels) {
      partial[(group.z * params.out_channels + row) * columns + column] = sum[i];
      if (column == 0u) { sums[group.z * params.out_channels + row] = total[i]; }
    }
  }
}
