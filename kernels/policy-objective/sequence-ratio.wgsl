// out[s] = mean of l - l_old over the counted tokens of sequence s, text and image together; 0 where none is counted.
// One thread per sequence, its tokens in order.
struct Params {
  sequences: u32,
}

@group(0) @binding(0) var<storage, read> ranges: array<vec4u>;          // first and last + 1 among text targets, then image targets
@group(0) @binding(1) var<storage, read> text_scored: array<vec2f>;     // (l, H)
@group(0) @binding(2) var<storage, read> text_terms: array<vec4f>;      // l_old, …
@group(0) @binding(3) var<storage, read> text_weights: array<vec4f>;    // …, 1 where counted
@group(0) @binding(4) var<storage, read> image_scored: array<vec2f>;
@group(0) @binding(5) var<storage, read> image_terms: array<vec4f>;
@group(0) @binding(6) var<storage, read> image_weights: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let sequence = (group.y * groups.x + group.x) * 64u + lane;
  if (sequence >= params.sequences) { return; }
  let range = ranges[sequence];
  var sum = 0.0;
  var count = 0.0;
  for (var i = range.x; i < range.y; i++) {
    let counted = text_weights[i].w;
    if (counted == 0.0) { continue; }
    sum += text_scored[i].x - text_terms[i].x;
    count += 1.0;
  }
  for (var i = range.z; i < range.w; i++) {
    let counted = image_weights[i].w;
    if (counted == 0.0) { continue; }
    sum += image_scored[i].x - image_terms[i].x;
    count += 1.0;
  }
  out[sequence] = sum / max(count, 1.0);
}
