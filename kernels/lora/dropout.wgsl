// out = value where the element is kept, divided by the share that is, else 0 (+ addend), f32. Whether an element is kept follows from
// seed, key and index alone (Philox), so the way back draws the same again. One thread per four elements.
//! use lib/philox.wgsl
const HAS_ADDEND: bool = false;

struct Params {
  count: u32,
  key: u32,
  threshold: u32,  // an element whose word is below is left out
  scale: f32,      // 1 / share kept
}

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read> addend: array<f32>;
@group(0) @binding(2) var<storage, read> seed: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let quad = (group.y * groups.x + group.x) * 64u + lane;
  if (quad * 4u >= params.count) { return; }
  let words = philox(vec4u(quad, params.key, 0x64726f70u, 0u), vec2u(seed[0], 0u));
  for (var i = 0u; i < 4u; i++) {
    let index = quad * 4u + i;
    if (index >= params.count) { return; }
    var result = 0.0;
    if (words[i] >= params.threshold) { result = params.scale * value[index]; }
    if (HAS_ADDEND) { result += addend[index]; }
    out[index] = result;
  }
}
