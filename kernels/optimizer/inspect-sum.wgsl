// Adds the runs of each parameter (`inspect`). One thread per parameter, runs in order.
struct Params {
  parameters: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec4u>;
@group(0) @binding(1) var<storage, read> ranges: array<vec2u>;  // first run and count of each
@group(0) @binding(2) var<storage, read_write> totals: array<vec4u>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.parameters) { return; }
  let range = ranges[id.x];
  var squares = vec2f();
  var checksum = 0u;
  for (var i = range.x; i < range.x + range.y; i++) {
    squares += bitcast<vec2f>(sums[i].xy);
    checksum = checksum * 0x9e3779b1u + sums[i].z;
  }
  totals[id.x] = vec4u(bitcast<vec2u>(squares), checksum, 0u);
}
