// report = (√Σ partials, 1 if that is finite else 0). One thread, in order.
// Finiteness is read off the exponent bits: WGSL allows compilers to assume that NaN does not occur.
struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> report: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
  var sum = 0.0;
  for (var i = 0u; i < params.count; i++) { sum += partials[i]; }
  let is_finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
  report[0] = select(sum, sqrt(sum), is_finite);
  report[1] = select(0.0, 1.0, is_finite);
}
