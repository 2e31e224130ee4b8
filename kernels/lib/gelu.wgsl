// Φ(x) of the normal distribution and φ(x) its density, four at a time.
// erf by Abramowitz and Stegun 7.1.26: |error of Φ| < 1e-7.
fn normal_distribution(x: vec4f, distribution: ptr<function, vec4f>, density: ptr<function, vec4f>) {
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let power = exp(-min(z * z, vec4f(80.0)));
  let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = 0.5 * series * power;
  *distribution = select(1.0 - tail, tail, x < vec4f(0.0));
  *density = 0.3989422804014327 * power;
}

// What stands for Φ(x) in the tanh form: ½ (1 + tanh u) = σ(2u) with u = √(2/π) (x + 0.044715 x³), and its derivative by x.
fn tanh_share(x: vec4f, slope: ptr<function, vec4f>) -> vec4f {
  let square = min(x * x, vec4f(1.0e4));
  let twice = clamp(1.5957691216057308 * x * (1.0 + 0.044715 * square), vec4f(-80.0), vec4f(80.0));
  let share = 1.0 / (1.0 + exp(-twice));
  *slope = share * (1.0 - share) * 1.5957691216057308 * (1.0 + 0.134145 * square);
  return share;
}
