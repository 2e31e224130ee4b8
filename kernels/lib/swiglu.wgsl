// silu(gate) · up.
fn swiglu(gate: vec4f, up: vec4f) -> vec4f {
  // The bound keeps exp() finite; beyond it silu is zero in f32 anyway.
  return gate / (1.0 + exp(min(-gate, vec4f(80.0)))) * up;
}
