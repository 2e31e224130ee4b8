// Where each row is named: for every row r < size, the indices i with rows[i] == first + r as a linked list in rising order.
// heads[r] = the first of them, next[i] = the one after i; 0xffffffff ends a list.
// One thread per row scans the whole list from its end, four entries at a time, so no counting, sorting or atomics.
struct Params {
  count: u32,  // entries of `rows`
  size: u32,   // rows there are
  first: u32,  // what the first of them is called
}

@group(0) @binding(0) var<storage, read> rows: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> heads: array<u32>;
@group(0) @binding(2) var<storage, read_write> next: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.size) { return; }
  var head = 0xffffffffu;
  for (var quad = (params.count + 3u) / 4u; quad > 0u; quad--) {
    let found = rows[quad - 1u] == vec4u(params.first + row);
    if (!any(found)) { continue; }
    for (var i = 4u; i > 0u; i--) {
      let index = quad * 4u - 5u + i;
      if (found[i - 1u] && index < params.count) {
        next[index] = head;
        head = index;
      }
    }
  }
  heads[row] = head;
}
