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
