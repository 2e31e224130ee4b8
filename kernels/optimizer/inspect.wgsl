// What an update is judged by, per run of up to 4096 elements of an arena: (Σ gradient², Σ weight², checksum of the weights' bits, 0).
// One thread per run, elements in order: deterministic. Two updates of a weight that differ in one bit differ in the checksum.
struct Params {
  runs: u32,
  offset: u32,  // of the arena's first run among all
}

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read> runs: array<vec2u>;  // first vec4 and count of each
@group(0) @binding(3) var<storage, read_write> sums: array<vec4u>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.runs) { return; }
  let run = runs[params.offset + index];
  var gradient_squares = vec4f();
  var weight_squares = vec4f();
  var bits = vec4u();
  for (var i = run.x; i < run.x + run.y; i++) {
    let gradient = gradients[i];
    let weight = weights[i];
    gradient_squares += gradient * gradient;
    weight_squares += weight * weight;
    bits = bits * 0x9e3779b1u + bitcast<vec4u>(weight);
  }
  let checksum = ((bits.x * 0x85ebca6bu + bits.y) * 0x85ebca6bu + bits.z) * 0x85ebca6bu + bits.w;
  let squares = vec2f(
    (gradient_squares.x + gradient_squares.y) + (gradient_squares.z + gradient_squares.w),
    (weight_squares.x + weight_squares.y) + (weight_squares.z + weight_squares.w),
  );
  sums[params.offset + index] = vec4u(bitcast<vec2u>(squares), checksum, 0u);
}
