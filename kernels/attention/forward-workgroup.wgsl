// out[n, h] = Σ_j p_j · v[j], p = softmax over the row's keys of scale · q[n, h]·k[j]; log_sum[n, h] = log Σ_j exp(scale · q·k).
// Rows are packed segments: row n sees keys start[n] … n (causal) or … end[n] − 1. Head h reads key/value head h / (heads / kv_heads).
// For GPUs: a workgroup serves a head of 16 · ROWS neighboring rows. Teams of four threads have ROWS rows, each thread every fourth vec4
// of them in registers; eight keys and values at a time are shared. Every row takes its keys one by one in rising order, so its result
// does not depend on what it is packed with.
//! use lib/ordered-dot.wgsl
const HEAD: u32 = 32u;
const ROWS: u32 = 4u;
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
@group(0) @binding(3) var<storage, read> segment_start: array<u32>;
@group(0) @binding(4) var<storage, read> segment_end: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

const WIDTH: u32 = HEAD / 4u;
const SHARE: u32 = (WIDTH + 3u) / 4u;  // vec4 of a row that a thread has
const PADDED: u32 = SHARE * 4u;
const KEYS: u32 = 8u;
const TEAMS: u32 = 16u;

var<workgroup> keys: array<vec4f, KEYS * PADDED>;
var<workgroup> values: array<vec4f, KEYS * PADDED>;
var<workgroup> parts: array<f32, TEAMS * ROWS * KEYS * 4u>;  // of scores, by row, key and thread of the team

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
  var sum_values: array<vec4f, ROWS * SHARE>;
  var largest: array<f32, ROWS>;
  var sum: array<f32, ROWS>;
  var start: array<u32, ROWS>;
  var end: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let row = min(first_row + r * TEAMS + team, last_row);
    start[r] = segment_start[row];
    end[r] = select(segment_end[row], row + 1u, params.causal == 1u);
    largest[r] = -3.0e38;
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) { query[r * SHARE + c] = q[(row * params.heads + head) * WIDTH + place] * params.scale; }
    }
  }
  let finish = select(segment_end[last_row], last_row + 1u, params.causal == 1u);
  for (var tile = segment_start[first_row]; tile < finish; tile += KEYS) {
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
      var part: array<f32, ROWS>;
      // Said aloud: some drivers zero a variable of a loop once only.
      for (var r = 0u; r < ROWS; r++) { part[r] = f32(); }
      for (var c = 0u; c < share; c++) {
        let key_value = keys[key * PADDED + c * 4u + lane];
        for (var r = 0u; r < ROWS; r++) { part[r] += ordered_dot(query[r * SHARE + c], key_value); }
      }
      for (var r = 0u; r < ROWS; r++) { parts[((r * TEAMS + team) * KEYS + key) * 4u + lane] = part[r]; }
    }
    workgroupBarrier();
    for (var key = 0u; key < count; key++) {
      var weight: array<f32, ROWS>;
      var seen = 0u;
      for (var r = 0u; r < ROWS; r++) {
        if (tile + key < start[r] || tile + key >= end[r]) { continue; }
        seen |= 1u << r;
        let at = ((r * TEAMS + team) * KEYS + key) * 4u;
        let score = (parts[at] + parts[at + 1u]) + (parts[at + 2u] + parts[at + 3u]);
        if (score > largest[r]) {
          let shrink = exp(largest[r] - score);
          sum[r] *= shrink;
          for (var c = 0u; c < share; c++) { sum_values[r * SHARE + c] *= shrink; }
          largest[r] = score;
        }
        weight[r] = exp(score - largest[r]);
        sum[r] += weight[r];
      }
      for (var c = 0u; c < share; c++) {
        let value = values[key * PADDED + c * 4u + lane];
        // A value that is not seen is not multiplied by zero: it may be no number.
        for (var r = 0u; r < ROWS; r++) {
          if ((seen & (1u << r)) != 0u) { sum_values[r * SHARE + c] += weight[r] * value; }
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    let row = first_row + r * TEAMS + team;
    if (row > last_row) { continue; }
    for (var c = 0u; c < share; c++) {
      let place = c * 4u + lane;
      if (place < WIDTH) { out[(row * params.heads + head) * WIDTH + place] = sum_values[r * SHARE + c] / sum[r]; }
    }
    if (lane == 0u) { log_sum[row * params.heads + head] = largest[r] + log(sum[r]); }
  }
}
