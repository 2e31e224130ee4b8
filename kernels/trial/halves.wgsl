// How kernels keep values in half precision, tried on an adapter: KEEP halves[i] = f16(x[i]); else, in a launch of its own as they do,
// widened[i] = f32(halves[i]).
const KEEP: bool = true;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> halves: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> widened: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x * 4u >= params.count) { return; }
  if (KEEP) {
    halves[id.x] = vec4<f16>(x[id.x]);
  } else {
    widened[id.x] = vec4f(halves[id.x]);
  }
}
