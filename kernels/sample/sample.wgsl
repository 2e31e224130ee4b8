// One sampling step of R rows: z = logits[r, :], or u + w (c - u) with c = logits[r, :] and u = logits[R + r, :] under
// guidance; the token is a draw from softmax(z / T) cut to the top k, then to the smallest set that holds mass p (ties at the
// border are kept); T = 0 takes the largest, the first of equals. Writes the token, its log-probability under the very
// distribution it was drawn from, and that distribution's entropy; then what the next step must be fed.
//
// The draw is Gumbel's: argmax(z / T + g) with g from Philox counted by (row key, position of the token in its sequence,
// index / 4) and keyed by the seed. A row's token therefore depends on its own logits, key and position only, never on
// which rows are beside it.
//
// LANES threads share a row: 1 on a software adapter (no barrier is reached), more elsewhere, joined through workgroup memory
// in a fixed order. Top k and top p each find a border among the order-preserving integer forms of z, four bits at a time from the
// top: eight passes that weigh the sixteen values of a digit among the entries that agree so far, no sort and no memory. Every
// branch around a join depends on settings only; with PER_ROW on whether any row of the workgroup takes it, and what it finds is kept
// by the rows whose own settings do.
//
// A row with a logit that is NaN or +∞ gets NaN for log-probability and entropy whatever its settings: a cut or the largest alone could lose it.
//! use lib/philox.wgsl
//! use lib/broken.wgsl
const LANES: u32 = 1u;       // a power of two, at most THREADS
const THREADS: u32 = 16u;
const GUIDED: bool = false;
const TEXT: bool = true;     // the text phase ends rows; the image phase runs a fixed number of steps
const PER_ROW: bool = false; // a rule and a seed for each cache row instead of one for all

struct Params {
  rows: u32,
  vocabulary: u32,
  capacity: u32,
  image_start: u32,
  end: u32,         // ends a text like the image start, which then replaces it; 0xffffffff: none
}

// settings: seed (2 words), top k (0: off), then as bits of f32: temperature, top p, guidance weight; with PER_ROW so for each cache row.
// cache_rows[r]: whose token row r draws; rows that are finished leave the step, so r and cache_row differ.
// row_state[cache_row]: key, length (tokens so far), done, last position a text token may take (an image start is forced there).
// trace[cache_row, position]: token, forced (0 no, 1 text budget used up, 2 was `end`), log-probability, entropy (bits of f32).
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> settings: array<u32>;
@group(0) @binding(2) var<storage, read> cache_rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> row_state: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> trace: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> current: array<u32>;    // [R, or 2 R with guidance]: the token to feed next
@group(0) @binding(6) var<storage, read_write> positions: array<u32>;  // its position
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> shared_value: array<f32, THREADS>;
var<workgroup> shared_bins: array<vec4f, THREADS>;
var<workgroup> shared_index: array<u32, THREADS>;
var<workgroup> shared_flags: atomic<u32>;
var<workgroup> shared_any: u32;

// Where the settings of this thread's row begin.
var<private> rule: u32;

struct Best {
  value: f32,
  index: u32,
}

fn logit(row: u32, index: u32) -> f32 {
  let conditional = logits[row * params.vocabulary + index];
  if (!GUIDED) { return conditional; }
  let unconditional = logits[(row + params.rows) * params.vocabulary + index];
  return unconditional + bitcast<f32>(settings[rule + 5u]) * (conditional - unconditional);
}

// The bits that any row of the workgroup has set.
fn any_of(flags: u32, lane: u32) -> u32 {
  atomicOr(&shared_flags, flags);
  workgroupBarrier();
  if (lane == 0u) { shared_any = atomicLoad(&shared_flags); }
  return workgroupUniformLoad(&shared_any);
}

// Unsigned integers in the order of the floats.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn join_sum(value: f32, lane: u32) -> f32 {
  if (LANES == 1u) { return value; }
  workgroupBarrier();
  shared_value[lane] = value;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane % LANES < stride) { shared_value[lane] += shared_value[lane + stride]; }
  }
  workgroupBarrier();
  return shared_value[lane / LANES * LANES];
}

fn join_bins(value: vec4f, lane: u32) -> vec4f {
  if (LANES == 1u) { return value; }
  workgroupBarrier();
  shared_bins[lane] = value;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane % LANES < stride) { shared_bins[lane] += shared_bins[lane + stride]; }
  }
  workgroupBarrier();
  return shared_bins[lane / LANES * LANES];
}

// The largest border such that the entries with ordered(z) >= border weigh at least `wanted`: how many they are, or, with
// `by_mass`, their mass exp((z - highest) / temperature). Entries below `least` weigh nothing.
fn find_border(row: u32, lane: u32, wanted: f32, by_mass: bool, least: u32, highest: f32, temperature: f32) -> u32 {
  var border = 0u;
  var above = 0.0;  // weight of the entries beyond every value that can still be the border
  for (var digit = 0u; digit < 8u; digit++) {
    let shift = 28u - digit * 4u;
    var bins = array<vec4f, 4>();
    for (var i = lane % LANES; i < params.vocabulary; i += LANES) {
      let z = logit(row, i);
      let key = ordered(z);
      if (key < least || (digit > 0u && (key >> (shift + 4u)) != (border >> (shift + 4u)))) { continue; }
      var weight = 1.0;
      if (by_mass) { weight = exp((z - highest) / temperature); }
      let value = (key >> shift) & 15u;
      bins[value / 4u][value % 4u] += weight;
    }
    for (var i = 0u; i < 4u; i++) { bins[i] = join_bins(bins[i], lane); }
    var chosen = 0u;
    for (var value = 15u; value > 0u; value--) {
      let next = above + bins[value / 4u][value % 4u];
      if (next >= wanted) {
        chosen = value;
        break;
      }
      above = next;
    }
    border |= chosen << shift;
  }
  return border;
}

fn join_best(value: Best, lane: u32) -> Best {
  if (LANES == 1u) { return value; }
  workgroupBarrier();
  shared_value[lane] = value.value;
  shared_index[lane] = value.index;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane % LANES < stride) {
      let other = shared_value[lane + stride];
      let other_index = shared_index[lane + stride];
      if (other > shared_value[lane] || (other == shared_value[lane] && other_index < shared_index[lane])) {
        shared_value[lane] = other;
        shared_index[lane] = other_index;
      }
    }
  }
  workgroupBarrier();
  let first = lane / LANES * LANES;
  return Best(shared_value[first], shared_index[first]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * (THREADS / LANES) + lane / LANES;
  let row = min(index, params.rows - 1u);
  let first = lane % LANES;
  let vocabulary = params.vocabulary;
  let cache_row = cache_rows[row];
  let state = row_state[cache_row];
  let position = state.y;
  rule = select(0u, cache_row * 6u, PER_ROW);

  var highest = Best(-3.4e38, 0u);
  var worst = 0u;
  for (var i = first; i < vocabulary; i += LANES) {
    let z = logit(row, i);
    worst = max(worst, broken_rank(z));
    if (z > highest.value) { highest = Best(z, i); }
  }
  highest = join_best(highest, lane);
  // A broken logit of any lane is one of the row.
  worst = join_best(Best(select(0.0, 1.0, is_broken(worst)), worst), lane).index;
  var token = highest.index;
  var log_probability = 0.0;
  var entropy = 0.0;

  let temperature = bitcast<f32>(settings[rule + 3u]);
  let top_k = settings[rule + 2u];
  let top_p = bitcast<f32>(settings[rule + 4u]);
  let cuts_to_k = top_k > 0u && top_k < vocabulary;
  var any_draws = bitcast<f32>(settings[3]) > 0.0;
  var any_cuts_to_k = settings[2] > 0u && settings[2] < vocabulary;
  var any_cuts_to_p = bitcast<f32>(settings[4]) < 1.0;
  if (PER_ROW) {
    let any = any_of(select(0u, 1u, temperature > 0.0) | select(0u, 2u, cuts_to_k) | select(0u, 4u, top_p < 1.0), lane);
    any_draws = (any & 1u) != 0u;
    any_cuts_to_k = (any & 2u) != 0u;
    any_cuts_to_p = (any & 4u) != 0u;
  }
  if (any_draws) {
    var border = 0u;
    if (any_cuts_to_k) {
      let found = find_border(row, lane, f32(top_k), false, 0u, highest.value, temperature);
      border = select(0u, found, cuts_to_k);
    }
    if (any_cuts_to_p) {
      var mass = 0.0;
      for (var i = first; i < vocabulary; i += LANES) {
        let z = logit(row, i);
        mass += select(0.0, exp((z - highest.value) / temperature), ordered(z) >= border);
      }
      let wanted = top_p * join_sum(mass, lane);
      // At least the largest is kept, however small p is.
      let found = min(ordered(highest.value), find_border(row, lane, wanted, true, border, highest.value, temperature));
      border = select(border, max(border, found), top_p < 1.0);
    }

    let seed = vec2u(settings[rule], settings[rule + 1u]);
    var drawn = Best(-3.4e38, 0u);
    var total = 0.0;
    var weighted = 0.0;
    for (var block = first; block * 4u < vocabulary; block += LANES) {
      let words = philox(vec4u(state.x, position, block, 0u), seed);
      for (var i = 0u; i < 4u; i++) {
        let entry = block * 4u + i;
        if (entry >= vocabulary) { break; }
        let z = logit(row, entry);
        if (ordered(z) < border) { continue; }
        let scaled = (z - highest.value) / temperature;
        let share = exp(scaled);
        total += share;
        if (share > 0.0) { weighted += share * scaled; }
        let noisy = scaled + philox_gumbel(words[i]);
        if (noisy > drawn.value) { drawn = Best(noisy, entry); }
      }
    }
    drawn = join_best(drawn, lane);
    total = join_sum(total, lane);
    weighted = join_sum(weighted, lane);
    if (temperature > 0.0) {
      token = drawn.index;
      let log_total = log(total);
      log_probability = (logit(row, token) - highest.value) / temperature - log_total;
      entropy = log_total - weighted / total;
    }
  }

  if (first != 0u || index >= params.rows || position >= params.capacity) { return; }
  var forced = 0u;
  if (TEXT) {
    if (state.z != 0u) { return; }
    if (token == params.end) {
      forced = 2u;
    } else if (token != params.image_start && position >= state.w) {
      forced = 1u;
    }
    if (forced != 0u) {
      token = params.image_start;
      log_probability = 0.0;
      entropy = 0.0;
    }
  }
  if (is_broken(worst)) {
    log_probability = broken_nan(worst);
    entropy = log_probability;
  }
  trace[cache_row * params.capacity + position] = vec4u(token, forced, bitcast<u32>(log_probability), bitcast<u32>(entropy));
  row_state[cache_row] = vec4u(state.x, position + 1u, select(0u, 1u, TEXT && token == params.image_start), state.w);
  current[row] = token;
  positions[row] = position;
  if (GUIDED) {
    current[row + params.rows] = token;
    positions[row + params.rows] += 1u;
  }
}
