/** What workers answer for, without a queue: the components of a run and those of a worker, and JSON between them. */
import { expect, test, vi } from 'vitest';
import { tallied } from '../../../core/call-tally.ts';
import { openOffer } from '../../../core/commands/worker-offer.ts';
import { createContainer, type RunContainer } from '../../../core/container.ts';
import type { Benchmark } from '../../../core/contracts/benchmark.ts';
import type { AnswerService, Executor } from '../../../core/contracts/executor.ts';
import type { Judge } from '../../../core/contracts/judge.ts';
import type { ComponentChoice, Preset } from '../../../core/contracts/preset.ts';
import type { Reward, RewardAnswer } from '../../../core/contracts/reward.ts';
import { ReasongenError } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import {
  defineBenchmark,
  defineExecutor,
  defineJudge,
  definePlugin,
  defineReward,
  TryAgainError,
  z,
  type Scope,
} from '../../../core/plugin.ts';
import { scoreSamples } from '../../../core/rl/score.ts';
import { testImage, testSamples } from '../../../core/testing/stand-ins.ts';

const { signal } = new AbortController();
const image = testImage((x, y) => [x, y, 7]);

interface Made {
  readonly reward?: (scope: Scope) => Reward;
  readonly judge?: Judge;
  readonly benchmark?: Benchmark;
}

/** Run and worker of one preset; `asked` counts what went over. */
async function open(made: Made, settings: Partial<ComponentChoice> = {}) {
  const options = z.strictObject({ path: z.string().optional() });
  let services: readonly AnswerService[] = [];
  const asked: unknown[] = [];
  const executor: Executor = {
    open: ({ local }) => local,
    ask: async (identity, question, given) => {
      const service = services.find((each) => JSON.stringify(each.identity) === JSON.stringify(identity));
      if (service === undefined) throw new Error('no worker has this component');
      asked.push(question);
      const sent: unknown = JSON.parse(JSON.stringify(question));
      return { worker: 'w1', answer: JSON.parse(JSON.stringify(await service.answer(sent, given))) as unknown };
    },
  };
  const { reward, judge, benchmark } = made;
  const plugin = definePlugin({
    name: 'mine',
    provides: [
      defineExecutor({ name: 'direct', summary: '', options: z.strictObject({}), create: () => executor }),
      ...(reward ? [defineReward({ name: 'it', summary: '', options, create: (_, scope) => reward(scope) })] : []),
      ...(judge ? [defineJudge({ name: 'it', summary: '', options, create: () => judge })] : []),
      ...(benchmark ? [defineBenchmark({ name: 'it', summary: '', options, create: () => benchmark })] : []),
    ],
  });
  const presetOf = (path: string): Preset => ({
    name: 'test',
    seed: 1,
    file: '/test.yaml',
    plugins: [],
    components: {
      executor: [{ slot: 'executor', use: 'direct', name: 'direct', weight: 1, options: {} }],
      ...Object.fromEntries(
        Object.keys(made).map((slot) => [
          slot,
          [
            {
              slot,
              use: 'it',
              name: 'my-it',
              weight: 1,
              byWorkers: true,
              cache: 'off',
              ...settings,
              options: { path },
            },
          ],
        ]),
      ),
    },
  });
  const containerOf = (preset: Preset, isWorker: boolean): RunContainer =>
    createContainer([plugin]).openRun({
      preset,
      log: silentLog(),
      openDevice: () => Promise.reject(new Error('no device')),
      isWorker,
    });
  // Machines keep their models where they like.
  const there = presetOf('/there/model');
  services = (await openOffer(there, containerOf(there, true), ['judge', 'evaluate'])).offer.answers;
  return { run: containerOf(presetOf('/here/model'), false), asked, services };
}

const [first] = testSamples();

test.each<[Reward['sees'], number]>([
  ['sample', 8],
  ['group', 4],
  ['batch', 1],
  [undefined, 1],
])('a reward that sees a %s is asked %i times, and says what it would say here', async (sees, questions) => {
  const answers: RewardAnswer[] = [0.1 + 0.2, { value: -1e-300, why: 'because', parts: { a: 1 / 3 } }, null, 1];
  const reward: Reward = {
    ...(sees !== undefined && { sees }),
    score: (given) =>
      given.map(({ codes, image: { data }, specification }) => {
        expect(specification).toBeNull();
        const answer = answers[((codes[0] ?? 0) * 2 + (codes[1] ?? 0)) % 4];
        return answer === 1 ? data.reduce((sum, value) => sum + value, 0) / 7 : (answer ?? null);
      }),
  };
  const { run, asked } = await open({ reward: () => reward });
  const [made] = await run.getAll('reward');
  if (made === undefined) throw new RangeError('unreachable: there is one');
  const score = (one: Reward): Promise<unknown> =>
    scoreSamples([{ name: 'my-it', weight: 1, reward: one }], testSamples(), signal);
  expect(await score(made)).toEqual(await score(reward));
  expect(asked).toHaveLength(questions);
});

test('policies stay with the run: what fails for a passing reason is asked again by it, and the worker asks once', async () => {
  let calls = 0;
  const reward = (scope: Scope): Reward => ({
    sees: 'batch',
    score: (given) =>
      scope.calls.run(async () => {
        calls += 1;
        if (calls < 3) throw new TryAgainError('answered 503', { seconds: 0 });
        scope.calls.spend(17);
        return given.map(() => 1);
      }, signal),
  });
  const { run, asked } = await open({ reward }, { budget: { tokens: 17 } });
  const [made] = await run.getAll('reward');
  const { value, tally } = await tallied(async () => made?.score(testSamples(), signal));
  expect(value).toHaveLength(8);
  expect([calls, asked.length]).toEqual([3, 3]);
  // Questions are what the reward has asked of others, as if it had been asked here.
  expect(tally).toEqual({ questions: 1, kept: 0, tokens: 17 });
  // The tokens that were spent there count here.
  await expect(made?.score(testSamples(), signal)).rejects.toMatchObject({
    code: 'BUDGET_SPENT',
    place: 'reward "my-it"',
  });
});

test('a failure is told as it would be here, with the worker that met it', async () => {
  const fault = (what: () => RewardAnswer[]) => open({ reward: () => ({ score: what }) });
  const ask = async (what: () => RewardAnswer[]): Promise<unknown> => {
    const [made] = await (await fault(what)).run.getAll('reward');
    return scoreSamples([{ name: 'my-it', weight: 1, reward: made as Reward }], testSamples(), signal);
  };
  const thrown = (error: Error) => () => {
    throw error;
  };
  await expect(ask(thrown(new Error('out of office')))).rejects.toMatchObject({
    code: 'REWARD_FAILED',
    message: 'it failed while judging 8 samples: out of office',
    place: expect.stringMatching(/^reward "my-it".*, of reward "my-it", worker w1$/) as unknown,
  });
  await expect(
    ask(thrown(new ReasongenError({ code: 'NO_KEY', message: 'no key', hint: 'set it', exitCode: 2 }))),
  ).rejects.toMatchObject({ code: 'NO_KEY', message: 'no key', hint: 'set it', exitCode: 2 });
  // JSON has no such number: the worker refuses it before it would become another one.
  await expect(ask(() => Array<number>(8).fill(Number.NaN))).rejects.toMatchObject({
    code: 'BAD_SCORES',
    message: expect.stringContaining('NaN') as unknown,
  });
});

test('a judge answers whatever it can be asked, exact to the bit, and the run keeps its answers', async () => {
  const bits = Uint8Array.from({ length: 256 }, (_, index) => index % 2);
  const seen = vi.fn<(...all: unknown[]) => void>();
  const said =
    <Value>(value: Value) =>
    (...all: unknown[]): Promise<Value> => {
      seen(...all.slice(0, -1));
      return Promise.resolve(value);
    };
  const found = { label: 'cat', score: 1 / 3, box: [0, 0, 1, 1] as const, mask: { width: 16, height: 16, bits } };
  const values = Float32Array.from({ length: 256 }, (_, index) => Math.fround(index / 3));
  const judge: Judge = {
    title: 'Seer',
    fingerprint: { model: 's' },
    detect: said([found]),
    classify: said([0.1]),
    similarity: said([-1 / 7, 1]),
    answer: said('two'),
    answerProbabilities: said([0.25]),
    read: said([{ text: 'Open', score: 1, box: [0, 0, 1, 1] as const }]),
    depth: said({ width: 16, height: 16, values }),
    write: said('a question'),
  };
  const { run } = await open({ judge });
  const [made] = await run.getAll('judge');
  if (made === undefined) throw new RangeError('unreachable: there is one');
  const asked = [
    ['detect', image],
    ['classify', image, found, ['red'], ['a {} cat']],
    ['similarity', image, ['a', 'b']],
    ['answer', image, 'how many?'],
    ['answerProbabilities', image, 'one?', [['yes', 'Yes']]],
    ['read', image],
    ['depth', image],
    ['write', 'ask'],
  ] as const;
  for (const [method, ...given] of asked) {
    const call = (of: Judge): unknown => (of[method] as (...all: unknown[]) => unknown)(...given, signal);
    expect(await call(made), method).toEqual(await call(judge));
    const [here, there] = seen.mock.calls.slice(-2);
    expect(here, method).toEqual(there);
  }
});

test('a benchmark gathers and judges elsewhere; prompts, verdicts and scores are its own', async () => {
  class Counting {
    readonly tasks = ['count'];
    #asked = 0;
    prompts(): [] {
      this.#asked += 1;
      return [];
    }
    judges(): Promise<[]> {
      return Promise.resolve([]);
    }
    reserve(): Promise<void> {
      return Promise.reject(new Error('nothing is made here'));
    }
    gather({ codes }: { readonly codes: readonly number[] }): Promise<unknown> {
      return Promise.resolve({ codes, third: 1 / 3 });
    }
    verdict(_item: unknown, evidence: unknown): { pass: boolean; why: string } {
      return { pass: true, why: `${JSON.stringify(evidence)} ${this.#asked}` };
    }
  }
  const { run, asked, services } = await open({ benchmark: new Counting() });
  expect(services.map(({ identity: { kind } }) => kind)).toEqual(['evaluate']);
  const [made] = await run.getAll('benchmark');
  if (made === undefined || !('gather' in made) || first === undefined) throw new RangeError('it gathers');
  expect(made.reserve).toBeUndefined();
  expect('judge' in made).toBe(false);
  made.prompts('seen', 1, 1);
  await expect(made.gather(first, signal)).rejects.toThrow(/nothing is made here/);
  expect(made.verdict(first, 1)).toEqual({ pass: true, why: '1 1' });
  expect(asked).toHaveLength(1);
  const verdicts = testSamples().map(() => ({ pass: false, why: 'no', score: 0.1 }));
  const direct = await open({ benchmark: { tasks: [], prompts: () => [], judge: () => verdicts } });
  const [other] = await direct.run.getAll('benchmark');
  if (other === undefined || !('judge' in other)) throw new RangeError('it judges');
  expect(await other.judge(testSamples(), signal)).toEqual(verdicts);
});

test('what is no question is refused in words, and other components do not meet', async () => {
  const { services } = await open({ reward: () => ({ score: () => [] }) });
  const [service] = services;
  for (const question of [undefined, { method: 'score', samples: [{ id: 'x' }] }, { method: 'exit', samples: [] }])
    expect(await service?.answer(question, signal)).toMatchObject({ failed: { code: 'UNREADABLE_QUESTION' } });
  const other = await open({ reward: () => ({ score: () => [] }) }, { name: 'another' });
  expect(other.services[0]?.identity).not.toEqual(service?.identity);
});
