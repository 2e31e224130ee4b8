// Weight gradient of a 2D convolution, f32: partial[s, o, j] = Σ_p dOut[p, o] · x[source(p, tap), c] over the image rows of split s, with
// j = tap · C + c flattened, so that narrow layers fill the lanes with several taps. 16 channels o × 32 values of j per subgroup of
// exactly eight lanes; a lane owns four neighboring c of one tap. The eight lanes load 2 pixels × 16 channels of dOut as vec4.
// reduction/sum-splits adds the splits up in order: deterministic. Needs C % 4 == 0 and O % 4 == 0; source as in conv2d/broadcast-16x32.
enable subgroups;

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

@group(0) @binding(0) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> partial: array<vec4f>;  // [splits, O, kernel · kernel · C]
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;     // [splits, O]: Σ dOut, for the bias
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, split: u32, columns: u32, column: u32, value: vec4f) {
  if (row < params.out_channels) { partial[(split * params.out_channels + row) * columns + column] = value; }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let in_channels = params.in_channels / 4u;
  let out_channels = params.out_channels / 4u;
  let columns = params.kernel * params.kernel * in_channels;
  let column = group.x * 8u + lane;
  let safe_column = min(column, columns - 1u);
  let tap = safe_column / in_channels;
  let in_channel = safe_column - tap * in_channels;
  let ty = i32(tap / params.kernel);
  let tx = i32(tap % params.kernel) + params.offset;
  let row = group.y * 16u;
  let a_column = min(row / 4u + lane % 4u, out_channels - 1u);
  let a_pixel = lane / 4u;
  let width = i32(params.in_width);
  let last_line = min((group.z + 1u) * params.lines_per_split, params.lines);
  var sum = vec4f();
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  var s4 = vec4f();
  var s5 = vec4f();
  var s6 = vec4f();
  var s7 = vec4f();
  var s8 = vec4f();
  var s9 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  var s14 = vec4f();
  var s15 = vec4f();
  for (var line = group.z * params.lines_per_split; line < last_line; line++) {
    let image = line / params.out_height;
    let y = i32(line - image * params.out_height) * params.step + ty + params.offset;
    let row_inside = y >= 0 && y < i32(params.in_height);
    let x_base = (i32(image * params.in_height) + y) * width;
    for (var px = 0u; px < params.out_width; px += 2u) {
      let loaded = d_out[min(line * params.out_width + px + a_pixel, params.lines * params.out_width - 1u) * out_channels + a_column];
      let a = select(vec4f(), loaded, px + a_pixel < params.out_width);
      sum += a;
      let x0 = i32(px) * params.step + tx;
      let x1 = x0 + params.step;
      let inside0 = row_inside && x0 >= 0 && x0 < width;
      let inside1 = row_inside && x1 >= 0 && x1 < width;
      let b0 = select(vec4f(), x[u32(select(0, x_base + x0, inside0)) * in_channels + in_channel], inside0);
      let b1 = select(vec4f(), x[u32(select(0, x_base + x1, inside1)) * in_channels + in_channel], inside1);
      s0 += subgroupBroadcast(a.x, 0u) * b0; s0 += subgroupBroadcast(a.x, 4u) * b1;
      s1 += subgroupBroadcast(a.y, 0u) * b0; s1 += subgroupBroadcast(a.y, 4u) * b1;
      s2 += subgroupBroadcast(a.z, 0u) * b0; s2 += subgroupBroadcast(a.z, 4u) * b1;
      s3 += subgroupBroadcast(a.w, 0u) * b0; s3 += subgroupBroadcast(a.w, 4u) * b1;
      s4 += subgroupBroadcast(a.x, 1u) * b0; s4 += subgroupBroadcast(a.x, 5u) * b1;
      s5 += subgroupBroadcast(a.y, 1u) * b0; s5 += subgroupBroadcast(a.y, 5u) * b1;
      s6 += subgroupBroadcast(a.z, 1u) * b0; s6 += subgroupBroadcast(a.z, 5u) * b1;
      s7 += subgroupBroadcast(a.w, 1u) * b0; s7 += subgroupBroadcast(a.w, 5u) * b1;
      s8 += subgroupBroadcast(a.x, 2u) * b0; s8 += subgroupBroadcast(a.x, 6u) * b1;
      s9 += subgroupBroadcast(a.y, 2u) * b0; s9 += subgroupBroadcast(a.y, 6u) * b1;
      s10 += subgroupBroadcast(a.z, 2u) * b0; s10 += subgroupBroadcast(a.z, 6u) * b1;
      s11 += subgroupBroadcast(a.w, 2u) * b0; s11 += subgroupBroadcast(a.w, 6u) * b1;
      s12 += subgroupBroadcast(a.x, 3u) * b0; s12 += subgroupBroadcast(a.x, 7u) * b1;
      s13 += subgroupBroadcast(a.y, 3u) * b0; s13 += subgroupBroadcast(a.y, 7u) * b1;
      s14 += subgroupBroadcast(a.z, 3u) * b0; s14 += subgroupBroadcast(a.z, 7u) * b1;
      s15 += subgroupBroadcast(a.w, 3u) * b0; s15 += subgroupBroadcast(a.w, 7u) * b1;
    }
  }
  // Lanes 0 … 3 hold the sums of even pixels, lanes 4 … 7 those of odd ones.
  let total = sum + subgroupShuffleXor(sum, 4u);
  if (group.x == 0u && lane < 4u && row + lane * 4u < params.out_channels) { sums[group.z * out_channels + row / 4u + lane] = total; }
  if (column >= columns) { return; }
  // Eight rows at a time, the next eight moved up: see linear/nt-broadcast-32.
  let end = min(row + 16u, params.out_channels);
  for (var r = row; r < end; r += 8u) {
    store(r, group.z, columns, column, s0);
    store(r + 1u, group.z, columns, column, s1);
    store(r + 2u, group.z, columns, column, s2);
    store(r + 3u, group.z, columns, column, s3);
    store(r + 4u, group.z, columns, column, s4);
    store(r + 5u, group.z, columns, column, s5);
    store(r + 6u, group.z, columns, column, s6);
    store(r + 7u, group.z, columns, column, s7);
    s0 = s8; s1 = s9; s2 = s10; s3 = s11; s4 = s12; s5 = s13; s6 = s14; s7 = s15;
  }
}
