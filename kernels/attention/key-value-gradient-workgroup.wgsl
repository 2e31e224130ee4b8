// dV[j] = Σ p · dOut[n, h]; dK[j] = scale · Σ p · (dOut[n, h]·v[j] − delta) · q[n, h], over the rows n that see key j and the heads h
// of its group, p = exp(scale · q·k[j] − log_sum): a gather, head by head, rows in rising order: deterministic without atomics.
// For GPUs, with the threads of forward-workgroup: teams of four have ROWS keys, eight rows at a time are shared.
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
  causal: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> d_out: array<vec4f>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4u>;
@group(0) @binding(5) var<storage, read> segment_end: array<u32>;
@group(0) @binding(6) var<storage, read_write> d_k: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> d_v: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;
const SHARE: u32 = (WIDTH + 3u) / 4u;  // vec4 of a key that a thread has
const PADDED: u32 = SHARE * 4u;
const QUERIES: u32 = 8u;
const TEAMS: u32 = 16u;

var<workgroup> queries: array<vec4f, QUERIES * PADDED>;
var<workgroup> slopes: array<vec4f, QUERIES * PADDED>;
var<workgroup> parts: array<vec2f, TEAMS * ROWS * QUERIES * 4u>;  // of scale · q·k and dOut·v, by key, row and thread of the team

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let blocks = (params.rows + TEAMS * ROWS - 1u) / (TEAMS * ROWS);
  let index = group.y * groups.x + group.x;
  if (index >= blocks * params.kv_heads) { return; }
  let share = select((params.width + 3u) / 4u, SHARE, UNROLL);
  let kv_head = index / blocks;
  let first_row = (index - kv_head * blocks) * TEAMS * ROWS;
  let last_row = min(first_row + TEAMS * ROWS, params.rows) - 1u;
  let team = thread / 4u;
  let lane = thread % 4u;
  let group_size = params.heads / params.kv_heads;
  var key: array<vec4f, ROWS * SHARE>;
  var value: array<vec4f, ROWS * SHARE>;
  var key_gradient: array<vec4f, ROWS * SHARE>;
  var value_gradient: array<vec4f, ROWS * SHARE>;
  var start: array<u32, ROWS>;
  var end: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(first_row + r * TEAMS + team, last_row);
    start[r] = select(statistics[row * params.heads].z, row, params.causal == 1u);
    end[r] = segment_end[row];
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) {
        key[r * SHARE + c] = k[(row * params.kv_heads + kv_head) * WIDTH + place] * params.scale;
        value[r * SHARE + c] = v[(row * params.kv_heads + kv_head) * WIDTH + place];
      }
    }
  }
  let begin = select(statistics[first_row * params.heads].z, first_row, params.causal == 1u);
  let finish = segment_end[last_row];
  for (var head = kv_head * group_size; head < (kv_head + 1u) * group_size; head++) {
    for (var tile = begin; tile < finish; tile += QUERIES) {
      workgroupBarrier();
      for (var i = thread; i < QUERIES * PADDED; i += 64u) {
        let n = tile + i / PADDED;
        let place = i % PADDED;
        var query = vec4f();
        var slope = vec4f();
        if (n < finish && place < WIDTH) {
          query = q[(n * params.heads + head) * WIDTH + place];
          slope = d_out[(n * params.heads + head) * WIDTH + place];
        }
        queries[i] = query;
        slopes[i] = slope;
      }
      workgroupBarrier();
      let count = min(QUERIES, finish - tile);
      for (var n = 0u; n < count; n++) {
        var part: array<vec2f, ROWS>;
        // Said aloud: some drivers zero a variable of a loop once only.
        for (var r = 0u; r < ROWS; r++) { part[r] = vec2f(); }
        for (var c = 0u; c < share; c++) {
          let query = queries[n * PADDED + c * 4u + lane];
          let slope = slopes[n * PADDED + c * 4u + lane];
          for (var r = 0u; r < ROWS; r++) { part[r] += vec2f(ordered_dot(key[r * SHARE + c], query), ordered_dot(value[r * SHARE + c], slope)); }
        }
        for (var r = 0u; r < ROWS; r++) { parts[((r * TEAMS + team) * QUERIES + n) * 4u + lane] = part[r]; }
      }
      workgroupBarrier();
      for (var n = 0u; n < count; n++) {
        let other = statistics[(tile + n) * params.heads + head];
        var p: array<f32, ROWS>;
        var ds: array<f32, ROWS>;
        var seen = 0u;
        for (var r = 0u; r < ROWS; r++) {
          if (tile + n < start[r] || tile + n >= end[r]) { continue; }
          seen |= 1u << r;
          let at = ((r * TEAMS + team) * QUERIES + n) * 4u;
          let both = (parts[at] + parts[at + 1u]) + (parts[at + 2u] + parts[at + 3u]);
          p[r] = exp(both.x - bitcast<f32>(other.x));
          ds[r] = p[r] * (both.y - bitcast<f32>(other.y));
        }
        for (var c = 0u; c < share; c++) {
          let query = queries[n * PADDED + c * 4u + lane];
          let slope = slopes[n * PADDED + c * 4u + lane];
          for (var r = 0u; r < ROWS; r++) {
            if ((seen & (1u << r)) != 0u) {
              value_gradient[r * SHARE + c] += p[r] * slope;
              key_gradient[r * SHARE + c] += ds[r] * query;
            }
          }
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + r * TEAMS + team;
    if (row > last_row) { continue; }
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) {
        d_k[(row * params.kv_heads + kv_head) * WIDTH + place] = key_gradient[r * SHARE + c] * params.scale;
        d_v[(row * params.kv_heads + kv_head) * WIDTH + place] = value_gradient[r * SHARE + c];
      }
    }
  }
}
