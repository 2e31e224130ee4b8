// out[i] += Σ_s partial[s, i], s in order. One thread per element, which is a vec4 where sizes allow.
alias elem = f32;

struct Params {
  count: u32,   // elements of out
  splits: u32,
}

@group(0) @binding(0) var<storage, read> partial: array<elem>;
@group(0) @binding(1) var<storage, read_write> out: array<elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  if (index >= params.count) { return; }
  var sum = elem();
  for (var s = 0u; s < params.splits; s++) { sum += partial[s * params.count + index]; }
  out[index] += sum;
}
