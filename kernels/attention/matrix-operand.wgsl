// An operand of attention on subgroup matrices. x [rows, heads · HEAD] f32 → PARTS × f16 [heads, rows + 32, depth], a line for each head of a row: scaled
// by a power of two of its own and split, zeros up to `depth` (a whole number of matrices) and in 32 lines more, so that a tile may begin at any row.
// Behind the parts the exponents, f16 [heads, rows + 32]: whole numbers that f16 holds. A line with NaN or infinity is written as zeros, and its
// exponent says so: 0 · ∞ would reach rows that do not see it. Eight threads a line. Counts what is lost on the way.
//! use lib/matrix-parts.wgsl
//! use lib/matrix-counts.wgsl
const HEAD: u32 = 32u;
const DEPTH: u32 = 32u;
const PARTS: u32 = 1u;

struct Params {
  rows: u32,
  heads: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f16>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>, 6>;
@group(0) @binding(3) var<uniform> params: Params;

// Of each line the bits of the largest magnitude: they order as numbers do, NaN last.
var<workgroup> largest: array<atomic<u32>, 8>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let per_head = params.rows + 32u;
  let all = params.heads * per_head;
  let line = (group.y * groups.x + group.x) * 8u + thread / 8u;
  let lane = thread % 8u;
  let head = line / per_head;
  let row = line % per_head;
  let is_there = line < all && row < params.rows;
  let base = (row * params.heads + head) * HEAD;
  if (is_there) {
    var most = 0u;
    for (var c = lane; c < HEAD; c += 8u) { most = max(most, bitcast<u32>(x[base + c]) & 0x7fffffffu); }
    atomicMax(&largest[thread / 8u], most);
  }
  workgroupBarrier();
  let most = atomicLoad(&largest[thread / 8u]);
  let is_broken = most >= 0x7f800000u;
  // Of zeros the largest, so that a weight with which they are added does not reach far: those of other lines would be lost beside it.
  let exponent = select(exponent_of(most), 126, most == 0u);
  var found = vec3u();
  if (line < all) {
    for (var c = lane; c < DEPTH; c += 8u) {
      var value = 0.0;
      if (is_there && c < HEAD) {
        value = x[base + c];
        let magnitude = bitcast<u32>(value) & 0x7fffffffu;
        // The others of a broken line are not lost by their size.
        let is_sound = magnitude < 0x7f800000u;
        if (is_broken) { value = 0.0; }
        found += judged(select(magnitude, 0u, is_broken && is_sound), bitcast<u32>(value * power(exponent)) & 0x7fffffffu);
      }
      let parts = split(value * power(exponent));
      for (var p = 0u; p < PARTS; p++) { out[(p * all + line) * DEPTH + c] = parts[p]; }
    }
    if (lane == 0u) { out[PARTS * all * DEPTH + line] = f16(select(exponent, no_number, is_broken)); }
  }
  count(found);
  workgroupBarrier();
  if (thread == 0u) { add_counts(); }
}
