// Reconstruction loss of a picture and its gradient, f32, channels padded to 4 (the fourth is ignored). With d = out - goal:
//   loss = mean[ w (|d| + 2 d²) ] + edge · ( mean |d(x+1) - d(x)| + mean |d(y+1) - d(y)| )
// w = 1 + (emphasis - 1) where the goal differs from the background by more than `threshold` in some channel. Means are over images,
// pixels and three channels. `losses` holds per image row its share of the loss and its Σ d². One thread per image row.
//! use lib/ordered-dot.wgsl
struct Params {
  lines: u32,        // B · H
  height: u32,
  width: u32,
  edge: f32,
  emphasis: f32,
  threshold: f32,
  background_red: f32,
  background_green: f32,
  background_blue: f32,
}

@group(0) @binding(0) var<storage, read> out: array<vec4f>;
@group(0) @binding(1) var<storage, read> goal: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> d_out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> losses: array<vec2f>;  // [B · H]
@group(0) @binding(4) var<uniform> params: Params;

const opaque = vec4f(1.0, 1.0, 1.0, 0.0);

fn difference(index: u32) -> vec4f {
  return (out[index] - goal[index]) * opaque;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let line = (group.y * groups.x + group.x) * 64u + lane;
  if (line >= params.lines) { return; }
  let y = line % params.height;
  let background = vec4f(params.background_red, params.background_green, params.background_blue, 0.0);
  let images = f32(params.lines / params.height);
  let values = 3.0 * f32(params.lines * params.width);
  let edge_x = params.edge / max(1.0, 3.0 * images * f32(params.height * (params.width - 1u)));
  let edge_y = params.edge / max(1.0, 3.0 * images * f32((params.height - 1u) * params.width));
  var loss = 0.0;
  var square = 0.0;
  let base = line * params.width;
  var d = difference(base);
  var left = vec4f();  // d(x) - d(x-1), zero at the border
  for (var x = 0u; x < params.width; x++) {
    let index = base + x;
    var next = vec4f();
    var right = vec4f();
    if (x + 1u < params.width) {
      next = difference(index + 1u);
      right = next - d;
    }
    var up = vec4f();
    var down = vec4f();
    if (y > 0u) { up = d - difference(index - params.width); }
    if (y + 1u < params.height) { down = difference(index + params.width) - d; }
    let contrast = abs(goal[index] - background);
    let w = select(1.0, params.emphasis, max(contrast.x, max(contrast.y, contrast.z)) > params.threshold) / values;
    loss += ordered_dot(w * (abs(d) + 2.0 * d * d) + edge_x * abs(right) + edge_y * abs(down), opaque);
    square += ordered_dot(d, d);
    d_out[index] = w * (sign(d) + 4.0 * d) + edge_x * (sign(left) - sign(right)) + edge_y * (sign(up) - sign(down));
    left = right;
    d = next;
  }
  losses[line] = vec2f(loss, square);
}
