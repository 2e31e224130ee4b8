// What the backward needs of each row and head, one vec4u: log_sum and delta = Σ_c out·dOut (float bits), first and end key; dOut as the operand of
// matrix-operand.wgsl, so that delta is that of the derivatives which the other kernels multiply: where all values of a row have much in common,
// dOut·v[j] − delta would else be nothing but the rounding of dOut. One thread per row and head.
//! use lib/matrix-parts.wgsl
const HEAD: u32 = 32u;
const DEPTH: u32 = 32u;
const PARTS: u32 = 1u;

struct Params {
  rows: u32,
  heads: u32,
  causal: u32,
}

@group(0) @binding(0) var<storage, read> out: array<f32>;
@group(0) @binding(1) var<storage, read> d_out: array<f16>;
@group(0) @binding(2) var<storage, read> log_sum: array<f32>;
@group(0) @binding(3) var<storage, read> segment_start: array<u32>;
@group(0) @binding(4) var<storage, read> segment_end: array<u32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<vec4u>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * groups.x + group.x) * 64u + thread;
  if (index >= params.rows * params.heads) { return; }
  let row = index / params.heads;
  let all = params.heads * (params.rows + 32u);
  let line = index % params.heads * (params.rows + 32u) + row;
  let exponent = i32(d_out[PARTS * all * DEPTH + line]);
  var delta = 0.0;
  for (var c = 0u; c < HEAD; c++) {
    var slope = 0.0;
    for (var p = PARTS; p > 0u; p--) { slope = f32(d_out[((p - 1u) * all + line) * DEPTH + c]) + slope * 0.00048828125; }
    delta += out[index * HEAD + c] * slope;
  }
  delta *= power(-clamp(exponent, -126, 126));
  // Of a row with NaN or infinity the operand holds zeros.
  if (exponent == no_number) { delta = bitcast<f32>(bitcast<u32>(delta) | 0x7fc00000u); }
  let end = select(segment_end[row], row + 1u, params.causal == 1u);
  statistics[index] = vec4u(bitcast<u32>(log_sum[index]), bitcast<u32>(delta), segment_start[row], end);
}
