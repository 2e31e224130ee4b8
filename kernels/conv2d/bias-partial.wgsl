// partial[s, o] = Σ dOut[p, o] over the pixels of split s; reduction/sum-splits adds the splits up. One thread per split and element,
// which is a vec4 of channels where sizes allow.
alias elem = f32;

struct Params {
  pixels: u32,
  pixels_per_split: u32,
  splits: u32,
  out_channels: u32,  // in elements
}

@group(0) @binding(0) var<storage, read> d_out: array<elem>;
@group(0) @binding(1) var<storage, read_write> partial: array<elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.splits * params.out_channels) { return; }
  let split = index / params.out_channels;
  let o = index - split * params.out_channels;
  let last = min((split + 1u) * params.pixels_per_split, params.pixels);
  var sum = elem();
  for (var p = split * params.pixels_per_split; p < last; p++) { sum += d_out[p * params.out_channels + o]; }
  partial[index] = sum;
}
