// AdamW (see adamw.wgsl) whose moments are kept in a byte each, with a scale per block of 64 elements (Dettmers et al. 2022,
// "8-bit optimizers via block-wise quantization"). The codes are powers, so that small values keep a relative accuracy:
//   m = s₁ · sign(c) (c / 127)², c = −127 … 127        v = s₂ · (c / 255)⁴, c = 0 … 255
// which both reach down to about the same part of a gradient. A value becomes one of the two codes around it, by chances that keep its
// mean: a moving average whose steps are smaller than a code would stand still if it were rounded to the nearest. The random word
// depends on update and element only.
// A second moment above zero never becomes zero, since the step is divided by its root. The update itself uses the unrounded moments.
const flag_trainable = 1u;
const flag_decay = 2u;

struct Params {
  elements: u32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  weight_decay: f32,
  max_norm: f32,  // ≤ 0: no clipping
  arena: u32,     // number of the arena, for the random words
  first: u32,     // element of the arena that `weights` begins with
}

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> first_codes: array<u32>;   // four signed bytes
@group(0) @binding(3) var<storage, read_write> second_codes: array<u32>;  // four unsigned bytes
@group(0) @binding(4) var<storage, read_write> scales: array<vec2f>;      // [blocks] (s₁, s₂)
@group(0) @binding(5) var<storage, read> flags: array<u32>;
@group(0) @binding(6) var<storage, read> report: array<f32>;
@group(0) @binding(7) var<storage, read> schedule: array<f32>;  // lr, 1-β₁ᵗ, 1-β₂ᵗ, t
@group(0) @binding(8) var<uniform> params: Params;

// Largest |m| and v of each thread's four elements; a block is sixteen threads.
var<workgroup> largest: array<vec2f, 64>;

// PCG (O'Neill 2014) as a hash, after Jarzynski and Olano 2020.
fn hash(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn fourth_power(value: f32) -> f32 {
  let square = value * value;
  return square * square;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (group.y * groups.x + group.x) * 64u + lane;
  let block = index / 16u;
  let exists = index * 4u < params.elements;
  let flag = select(0u, flags[min(block, params.elements / 64u - 1u)], exists);
  let is_trained = (flag & flag_trainable) != 0u;
  let is_updated = is_trained && report[1] != 0.0;
  var m = vec4f();
  var v = vec4f();
  if (is_trained) {
    var gradient = gradients[index];
    gradients[index] = vec4f();
    if (is_updated) {
      if (params.max_norm > 0.0) { gradient *= min(1.0, params.max_norm / (report[0] + 1e-6)); }
      let scale = scales[block];
      let t1 = vec4f(unpack4xI8(first_codes[index])) / 127.0;
      let t2 = vec4f(unpack4xU8(second_codes[index])) / 255.0;
      m = params.beta1 * scale.x * t1 * abs(t1) + (1.0 - params.beta1) * gradient;
      v = params.beta2 * scale.y * (t2 * t2) * (t2 * t2) + (1.0 - params.beta2) * gradient * gradient;
      let rate = schedule[0];
      var weight = weights[index];
      if ((flag & flag_decay) != 0u) { weight -= rate * params.weight_decay * weight; }
      weights[index] = weight - rate * (m / schedule[1]) / (sqrt(v / schedule[2]) + params.epsilon);
    }
  }
  let sizes = abs(m);
  largest[lane] = vec2f(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)), max(max(v.x, v.y), max(v.z, v.w)));
  workgroupBarrier();
  var scale = vec2f();
  for (var i = 0u; i < 16u; i++) { scale = max(scale, largest[(lane & 48u) + i]); }
  if (!is_updated) { return; }
  if ((lane & 15u) == 0u) { scales[block] = scale; }
  // A block of zeros has codes of zero whatever it is divided by.
  let divisor = max(scale, vec2f(1.0e-38));
  var codes1 = vec4i();
  var codes2 = vec4u();
  for (var i = 0u; i < 4u; i++) {
    let word = hash(params.first + index * 4u + i + hash(u32(schedule[3]) + hash(params.arena)));
    let value1 = min(sizes[i] / divisor.x, 1.0) * 16129.0;
    let below1 = min(floor(sqrt(value1)), 126.0);
    let chance1 = (value1 - below1 * below1) / (2.0 * below1 + 1.0);
    let code1 = i32(below1) + select(0, 1, f32(word >> 16u) * (1.0 / 65536.0) < chance1);
    codes1[i] = select(code1, -code1, m[i] < 0.0);
    let value2 = min(v[i] / divisor.y, 1.0) * 4228250625.0;
    let below2 = min(floor(sqrt(sqrt(value2))), 254.0);
    let chance2 = (value2 - fourth_power(below2)) / (fourth_power(below2 + 1.0) - fourth_power(below2));
    let code2 = u32(below2) + select(0u, 1u, f32(word & 0xffffu) * (1.0 / 65536.0) < chance2);
    codes2[i] = select(0u, max(code2, 1u), v[i] > 0.0);
  }
  first_codes[index] = pack4xI8(codes1);
  second_codes[index] = pack4xU8(codes2);
}
