// settings = (clip low, clip high, entropy coefficient, KL coefficient): gathers four scalars, so that the objective
// stays within the eight storage buffers every adapter has.
@group(0) @binding(0) var<storage, read> clip_low: array<f32>;
@group(0) @binding(1) var<storage, read> clip_high: array<f32>;
@group(0) @binding(2) var<storage, read> entropy_coefficient: array<f32>;
@group(0) @binding(3) var<storage, read> kl_coefficient: array<f32>;
@group(0) @binding(4) var<storage, read_write> settings: array<vec4f>;

@compute @workgroup_size(1)
fn main() {
  settings[0] = vec4f(clip_low[0], clip_high[0], entropy_coefficient[0], kl_coefficient[0]);
}
