// dQ[n, h] = scale · Σ_j p_j · (dOut[n, h]·v[j] − delta) · k[j], p_j = exp(scale · q·k[j] − log_sum): a gather over the row's keys.
// For GPUs, with the threads of forward-workgroup: teams of four have ROWS rows, eight keys and values at a time are shared.
//! use lib/ordered-dot.wgsl
const HEAD: u32 = 32u;
const ROWS: u32 = 2u;
// A GPU keeps the arrays in registers when the loops unroll; a software adapter would only compile ten times longer.
const UNROLL: bool = false;

struct Params {
  rows: u32,
  width: u32,  // vec4 of a head
  heads: u32,
  kv_heads: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> d_q: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;
const SHARE: u32 = (WIDTH + 3u) / 4u;  // vec4 of a row that a thread has
const PADDED: u32 = SHARE * 4u;
const KEYS: u32 = 8u;
const TEAMS: u32 = 16u;

var<workgroup> keys: array<vec4f, KEYS * PADDED>;
var<workgroup> values: array<vec4f, KEYS * PADDED>;
var<workgroup> parts: array<vec2f, TEAMS * ROWS * KEYS * 4u>;  // of scale · q·k and dOut·v, by row, key and thread of the team

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let blocks = (params.rows + TEAMS * ROWS - 1u) / (TEAMS * ROWS);
  let index = group.y * groups.x + group.x;
  if (index >= blocks * params.heads) { return; }
  let share = select((params.width + 3u) / 4u, SHARE, UNROLL);
  let head = index / blocks;
  let first_row = (index - head * blocks) * TEAMS * ROWS;
  let last_row = min(first_row + TEAMS * ROWS, params.rows) - 1u;
  let team = thread / 4u;
  let lane = thread % 4u;
  let kv_stride = params.kv_heads * WIDTH;
  let kv_base = head / (params.heads / params.kv_heads) * WIDTH;
  var query: array<vec4f, ROWS * SHARE>;
  var slope: array<vec4f, ROWS * SHARE>;
  var gradient: array<vec4f, ROWS * SHARE>;
  var own: array<vec4u, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(first_row + r * TEAMS + team, last_row);
    own[r] = statistics[row * params.heads + head];
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) {
        query[r * SHARE + c] = q[(row * params.heads + head) * WIDTH + place] * params.scale;
        slope[r * SHARE + c] = d_out[(row * params.heads + head) * WIDTH + place];
      }
    }
  }
  let finish = statistics[last_row * params.heads + head].w;
  for (var tile = statistics[first_row * params.heads + head].z; tile < finish; tile += KEYS) {
    workgroupBarrier();
    for (var i = thread; i < KEYS * PADDED; i += 64u) {
      let key = tile + i / PADDED;
      let place = i % PADDED;
      var key_value = vec4f();
      var value = vec4f();
      if (key < finish && place < WIDTH) {
        key_value = k[key * kv_stride + kv_base + place];
        value = v[key * kv_stride + kv_base + place];
      }
      keys[i] = key_value;
      values[i] = value;
    }
    workgroupBarrier();
    let count = min(KEYS, finish - tile);
    for (var key = 0u; key < count; key++) {
      var part: array<vec2f, ROWS>;
      // Said aloud: some drivers zero a variable of a loop once only.
      for (var r = 0u; r < ROWS; r++) { part[r] = vec2f(); }
      for (var c = 0u; c < share; c++) {
        let key_value = keys[key * PADDED + c * 4u + lane];
        let value = values[key * PADDED + c * 4u + lane];
        for (var r = 0u; r < ROWS; r++) { part[r] += vec2f(ordered_dot(query[r * SHARE + c], key_value), ordered_dot(slope[r * SHARE + c], value)); }
      }
      for (var r = 0u; r < ROWS; r++) { parts[((r * TEAMS + team) * KEYS + key) * 4u + lane] = part[r]; }
    }
    workgroupBarrier();
    for (var key = 0u; key < count; key++) {
      var weight: array<f32, ROWS>;
      var seen = 0u;
      for (var r = 0u; r < ROWS; r++) {
        if (tile + key < own[r].z || tile + key >= own[r].w) { continue; }
        seen |= 1u << r;
        let at = ((r * TEAMS + team) * KEYS + key) * 4u;
        let both = (parts[at] + parts[at + 1u]) + (parts[at + 2u] + parts[at + 3u]);
        weight[r] = exp(both.x - bitcast<f32>(own[r].x)) * (both.y - bitcast<f32>(own[r].y));
      }
      for (var c = 0u; c < share; c++) {
        let key_value = keys[key * PADDED + c * 4u + lane];
        for (var r = 0u; r < ROWS; r++) {
          if ((seen & (1u << r)) != 0u) { gradient[r * SHARE + c] += weight[r] * key_value; }
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + r * TEAMS + team;
    if (row > last_row) { continue; }
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) { d_q[(row * params.heads + head) * WIDTH + place] = gradient[r * SHARE + c] * params.scale; }
    }
  }
}
