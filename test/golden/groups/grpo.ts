/** The policy objective: log-probabilities and entropies, advantages, value and parts of the objective, the gradient of every weight. */
import { Tape } from '../../../core/autograd/tape.ts';
import { policyObjective, policySettings } from '../../../core/ops/policy-objective.ts';
import { groupAdvantages } from '../../../core/rl/advantages.ts';
import { at } from '../../../core/testing.ts';
import { bounds, compare, farthest, ratio, type Bench, type Comparison } from '../comparison.ts';
import { MissingValue, type Fixture, type GrpoScalars } from '../fixture.ts';
import { rowsOf, score, sequencesOf, type FixtureRow } from '../tokens.ts';
import { compareGradients } from './sft.ts';

export async function grpo(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const golden = fixture.golden.grpo;
  if (golden === undefined) throw new MissingValue('golden.json has no grpo');
  const sequences = sequencesOf(fixture, 'grpo');
  const isResponse = rowsOf(fixture, 'grpo.is_response');
  const total = isResponse.flat().reduce((sum, flag) => sum + flag, 0);
  const [, width = 0] = fixture.shape('grpo.logp');
  const weights = await fixture.weights(device, true);
  const tape = new Tape(bench.workspace);
  weights.watch(tape);
  const parts = score(
    bench,
    tape,
    weights,
    sequences.map(({ tokens }) => tokens),
    golden.logit_clamp,
  ).map(({ kind, values, entries }) => {
    /** Of every entry: its place in a [B, T - 1] table, or undefined when it belongs to no response. */
    const places = entries.map(({ sequence, index }) => {
      const column = at(sequences[sequence]?.columns ?? [], index);
      return at(isResponse[sequence] ?? [], column) === 1 ? sequence * width + column - 1 : undefined;
    });
    const used = places.filter((place) => place !== undefined).length;
    const of = (key: string, place: number): number => at(fixture.floats(`grpo.${key}`), place);
    const table = (name: string, row: (place: number) => readonly number[]) =>
      device.tensor(
        name,
        [entries.length, 4],
        'f32',
        Float32Array.from(places.flatMap((place) => (place === undefined ? [0, 0, 0, 0] : row(place)))),
      );
    const { dOut, stats } = policyObjective(
      tape,
      values,
      {
        terms: table('terms', (place) => [
          of('old_logp', place),
          of('advantages', Math.floor(place / width)),
          of('ref_logp', place),
          Math.floor(place / width),
        ]),
        // The entropy term is a mean over its own kind of token, the others over both.
        weights: table('weights', () => [1 / total, 1 / used, 1 / total, 1]),
        settings: device.tensor(
          'settings',
          [8],
          'f32',
          policySettings({
            clipLow: golden.clip,
            clipHigh: golden.clip,
            klCoefficient: golden.beta,
            entropyCoefficient: kind === 'text' ? golden.text_entropy_coefficient : golden.image_entropy_coefficient,
          }),
        ),
      },
      { method: 'clip', divergence: 'k3' },
    );
    tape.seed(values, dOut);
    return { kind, places, used, scored: tape.output(values), stats: tape.output(stats) };
  });
  tape.backward();
  const program = await tape.finish('grpo');
  program.run();
  const read = await device.read(parts.flatMap(({ scored, stats }) => [scored, stats]));
  const measured = parts.map(({ kind, places, used }, part) => ({
    kind,
    used,
    scored: read[2 * part] ?? [],
    stats: read[2 * part + 1] ?? [],
    entries: places.flatMap((place, entry) => (place === undefined ? [] : [{ place, entry }])),
  }));
  const rows = [
    ...compareValues(fixture, golden, measured, total),
    ...compareAdvantages(fixture, golden, sequences, isResponse),
    ...(await compareGradients(bench, weights, 'grpo.grad.')),
  ];
  program.dispose();
  weights.close();
  return rows;
}

interface Measured {
  readonly kind: 'text' | 'image';
  readonly used: number;
  readonly scored: ArrayLike<number>;
  readonly stats: ArrayLike<number>;
  readonly entries: readonly { readonly place: number; readonly entry: number }[];
}

function compareValues(
  fixture: Fixture,
  golden: GrpoScalars,
  measured: readonly Measured[],
  total: number,
): Comparison[] {
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const over = (value: (part: Measured, place: number, entry: number) => number): number =>
    sum(measured.map((part) => sum(part.entries.map(({ place, entry }) => value(part, place, entry)))));
  const entropy = (kind: Measured['kind']): number => {
    const part = measured.find((one) => one.kind === kind);
    return part === undefined ? 0 : sum(part.entries.map(({ entry }) => at(part.scored, entry * 2 + 1))) / part.used;
  };
  const table = (key: string, column: number): Comparison[] =>
    measured.map(({ kind, scored, entries }) =>
      farthest(
        `grpo.${key} (${kind})`,
        entries.map(({ entry }) => at(scored, entry * 2 + column)),
        entries.map(({ place }) => at(fixture.floats(`grpo.${key}`), place)),
        bounds.logits,
      ),
    );
  const policy = over(({ stats }, _, entry) => at(stats, entry * 4)) / total;
  const divergence = over(({ stats }, _, entry) => at(stats, entry * 4 + 3)) / total;
  const objective =
    policy +
    golden.text_entropy_coefficient * entropy('text') +
    golden.image_entropy_coefficient * entropy('image') +
    golden.beta * divergence;
  const near = (
    key: 'pg_loss' | 'kl_k3' | 'text_entropy' | 'image_entropy' | 'total' | 'clip_fraction' | 'ppo_kl',
    value: number,
  ): Comparison => compare(`grpo.${key}`, Math.abs(value - golden[key]), bounds.objective);
  return [
    ...table('logp', 0),
    ...table('entropy', 1),
    near('pg_loss', policy),
    near('kl_k3', divergence),
    near('text_entropy', entropy('text')),
    near('image_entropy', entropy('image')),
    near('clip_fraction', over(({ stats }, _, entry) => at(stats, entry * 4 + 1)) / total),
    near(
      'ppo_kl',
      over(({ scored }, place, entry) => at(fixture.floats('grpo.old_logp'), place) - at(scored, entry * 2)) / total,
    ),
    near('total', objective),
    ratio('grpo.total (relative)', objective, golden.total, bounds.norm),
  ];
}

/** Advantages of the groups whose rewards differ; to the others the fixture gives made-up ones. */
function compareAdvantages(
  fixture: Fixture,
  { rewards }: GrpoScalars,
  sequences: readonly FixtureRow[],
  isResponse: readonly (readonly number[])[],
): Comparison[] {
  const prompts = sequences.map(({ tokens, columns }, row) =>
    tokens.flatMap(({ id }, index) => (at(isResponse[row] ?? [], at(columns, index)) === 1 ? [] : [id])).join(),
  );
  const computed = groupAdvantages(rewards, prompts.length / new Set(prompts).size, { estimator: 'grpo' });
  const informative = rewards.flatMap((_, row) =>
    rewards.some((reward, other) => prompts[other] === prompts[row] && reward !== rewards[row]) ? [row] : [],
  );
  const expected = fixture.floats('grpo.advantages');
  if (informative.length === 0) return [];
  return [
    farthest(
      'grpo.advantages',
      informative.map((row) => at(computed, row)),
      informative.map((row) => at(expected, row)),
      bounds.advantage,
    ),
  ];
}
