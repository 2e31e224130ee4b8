// partial[offset + i] = Σ gradient² over the i-th of `parts` equal runs of an arena, trained blocks only.
// One thread per run, elements in order: deterministic.
const flag_trainable = 1u;

struct Params {
  elements: u32,  // of the arena, a multiple of 64
  parts: u32,
  offset: u32,
}

@group(0) @binding(0) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(1) var<storage, read> flags: array<u32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.parts) { return; }
  let blocks = params.elements / 64u;
  let per_part = (blocks + params.parts - 1u) / params.parts;
  let first = id.x * per_part;
  let last = min(first + per_part, blocks);
  var sum = 0.0;
  for (var block = first; block < last; block++) {
    if ((flags[block] & flag_trainable) == 0u) { continue; }
    var squares = vec4f();
    // Begins at a value of the launch, so that its load is compiled once: see kernels/README.md, loops that stay loops.
    for (var place = block * 16u; place < (block + 1u) * 16u; place++) {
      let gradient = gradients[place];
      squares += gradient * gradient;
    }
    sum += (squares.x + squares.y) + (squares.z + squares.w);
  }
  partials[params.offset + id.x] = sum;
}
