// out[r] = positions[r] + shifts[cache_rows[r]], modulo 2³²: where row r stands for rotary positions, from its place in the cache. One thread per row.
struct Params {
  rows: u32,
}

@group(0) @binding(0) var<storage, read> positions: array<u32>;
@group(0) @binding(1) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(2) var<storage, read> shifts: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  out[row] = positions[row] + shifts[cache_rows[row]];
}
