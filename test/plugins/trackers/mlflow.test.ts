/** MLflow's REST API as its documentation tells it: a store with the rules that a server keeps to. */
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { type Heard, type Said, session, type StandIn, withDirectory, withServer } from './stand-in.ts';

interface Metric {
  readonly key: string;
  readonly value: number | string;
  readonly timestamp: number;
  readonly step: number;
}

/** The store behind the endpoints. Breaks of a rule are answered with 400, as a server does. */
class Store {
  readonly experiments: string[] = [];
  readonly runs: { name: string; experiment: string; tag: string; status: string; end?: number }[] = [];
  readonly metrics: Metric[] = [];
  readonly params = new Map<string, string>();
  readonly tags = new Map<string, string>();

  readonly say = ({ path, body }: Heard): Said => {
    const method = path.replace('/api/2.0/mlflow/', '');
    const answer = this.#answer(method, body);
    return typeof answer === 'string'
      ? { status: 400, body: { error_code: 'INVALID_PARAMETER_VALUE', message: answer } }
      : { body: answer };
  };

  #answer(method: string, body: Readonly<Record<string, unknown>>): object | string {
    const run = this.runs[Number(body['run_id']) - 1];
    switch (method) {
      case 'experiments/search': {
        const name = /^name = '(.*)'$/.exec(String(body['filter']))?.[1];
        const index = this.experiments.indexOf(name ?? '');
        return index < 0 ? {} : { experiments: [{ experiment_id: String(index), name }] };
      }
      case 'experiments/create':
        this.experiments.push(String(body['name']));
        return { experiment_id: String(this.experiments.length - 1) };
      case 'runs/create':
        if (this.experiments[Number(body['experiment_id'])] === undefined) return 'no such experiment';
        this.runs.push({
          name: String(body['run_name']),
          experiment: String(body['experiment_id']),
          tag:
            (body['tags'] as { key: string; value: string }[]).find(({ key }) => key === 'reasongen.run')?.value ?? '',
          status: 'RUNNING',
        });
        return { run: { info: { run_id: String(this.runs.length), status: 'RUNNING' } } };
      case 'runs/search': {
        const tag = /^tags\.`reasongen\.run` = '(\w+)'$/.exec(String(body['filter']))?.[1];
        const within = (body['experiment_ids'] as string[]).map(Number);
        const index = this.runs.findIndex((each) => each.tag === tag && within.includes(Number(each.experiment)));
        return index < 0 ? {} : { runs: [{ info: { run_id: String(index + 1) } }] };
      }
      case 'runs/log-batch':
        return run === undefined ? 'no such run' : this.#logBatch(body);
      case 'runs/set-tag':
        this.tags.set(String(body['key']), String(body['value']));
        return run === undefined ? 'no such run' : {};
      case 'runs/update':
        if (run === undefined) return 'no such run';
        Object.assign(run, { status: body['status'], end: body['end_time'] });
        return {};
      default:
        return `no endpoint ${method}`;
    }
  }

  #logBatch(body: Readonly<Record<string, unknown>>): object | string {
    const metrics = (body['metrics'] ?? []) as Metric[];
    const params = (body['params'] ?? []) as { key: string; value: string }[];
    if (metrics.length > 1000 || params.length > 100) return 'too many at once';
    // As Python does: letters of any script, and only the shortest form of a path.
    const isName = (key: string): boolean =>
      /^[\p{L}\p{N}_\-./ ]{1,250}$/u.test(key) && posix.relative('/', `/${key}`) === key;
    if (![...metrics, ...params].every(({ key }) => isName(key))) return 'bad name';
    for (const { key, value } of params) {
      if (value.length > 500) return 'param too long';
      if (this.params.has(key) && this.params.get(key) !== value) return 'params cannot be changed';
      this.params.set(key, value);
    }
    if (metrics.some(({ value }) => typeof value !== 'number' && !['NaN', 'Infinity', '-Infinity'].includes(value)))
      return 'no number';
    this.metrics.push(...metrics);
    return {};
  }
}

async function trainedOn(
  { url }: StandIn,
  directory: string,
  from: number,
  to: number,
  outcome: 'done' | 'failed',
): Promise<string[]> {
  const { hooks, said } = await session('mlflow', {
    url,
    experiment: 'my nights',
    keyVariable: 'REASONGEN_TEST_MLFLOW',
  });
  const settings = { seed: 1, 'recipe.steps': 3, 'reward.a:b.weight': 0.5, 'recipe.text': 'x'.repeat(500) };
  await hooks.start({ preset: 'night', directory, resume: from > 1, settings });
  for (let step = from; step <= to; step++) {
    const wide = Object.fromEntries(Array.from({ length: 700 }, (_, index) => [`m${index}`, index]));
    await hooks.step({
      step,
      metrics: { 'reward/a:b': step, loss: Number.NaN, ...wide },
      warnings: step === 2 ? ['flat', 'dark'] : [],
    });
  }
  await hooks.evaluation({
    step: to,
    benchmark: 'nano',
    split: 'heldout',
    samples: [],
    verdicts: [],
    metrics: { passRate: 0.5 },
  });
  await hooks.finish({ outcome, directory, ...(outcome === 'failed' && { error: new Error('no room') }) });
  return said;
}

test('a run: experiment, params, every number once, warnings as tags, how it ended; a resumed one goes on with it', () =>
  withDirectory((directory) => {
    const store = new Store();
    return withServer(store.say, async (server) => {
      process.env['REASONGEN_TEST_MLFLOW'] = 'secret-key-1';
      expect(await trainedOn(server, directory, 1, 3, 'failed')).toEqual([]);
      expect(store.experiments).toEqual(['my nights']);
      expect(store.runs).toEqual([
        { name: 'night', experiment: '0', tag: expect.any(String), status: 'FAILED', end: expect.any(Number) },
      ]);
      expect(Object.fromEntries(store.tags)).toEqual({
        'warning.step-2': 'flat',
        'warning.step-2.2': 'dark',
        error: 'no room',
      });
      expect(store.params.get('reward.a_b.weight')).toBe('0.5');
      expect(server.heard.every(({ headers }) => headers['authorization'] === 'Bearer secret-key-1')).toBe(true);
      await trainedOn(server, directory, 2, 4, 'done');
      expect(store.runs).toHaveLength(1);
      expect(store.runs[0]?.status).toBe('FINISHED');
      const rewards = store.metrics.filter(({ key }) => key === 'reward/a_b');
      expect(rewards.map(({ step, value }) => [step, value])).toEqual([1, 2, 3, 4].map((step) => [step, step]));
      expect(store.metrics.filter(({ key }) => key === 'nano/heldout/passRate').map(({ step }) => step)).toEqual([
        3, 4,
      ]);
      expect(store.metrics.find(({ key }) => key === 'loss')?.value).toBe('NaN');
      delete process.env['REASONGEN_TEST_MLFLOW'];
    });
  }));

test('a server that was away, or refused, is told by sync', () =>
  withDirectory((directory) => {
    const store = new Store();
    return withServer(
      () => ({ status: 403, body: { message: 'who are you' } }),
      async (server) => {
        const said = await trainedOn(server, directory, 1, 2, 'done');
        expect(said[0]).toMatch(/answered 403: .*who are you.*no key was sent: put it into REASONGEN_TEST_MLFLOW/);
        const { hooks } = await session('mlflow', { url: server.url, experiment: 'my nights' });
        await expect(hooks.sync({ directory })).rejects.toThrow(/answered 403/);
        server.say = store.say;
        await hooks.sync({ directory });
        expect(store.runs[0]?.status).toBe('FINISHED');
        expect(store.metrics.filter(({ key }) => key === 'reward/a_b')).toHaveLength(2);
        const asked = server.heard.length;
        await hooks.sync({ directory });
        expect(server.heard).toHaveLength(asked);
      },
    );
  }));

test('a server that goes away between the run and its params has one run, with params', () =>
  withDirectory((directory) => {
    const store = new Store();
    let isAway = true;
    const flaky = (heard: Heard): Said =>
      isAway && heard.path.endsWith('log-batch') ? { status: 503, headers: { 'retry-after': '60' } } : store.say(heard);
    return withServer(flaky, async ({ url }) => {
      const options = { url, experiment: 'my nights', patience: 0.2 };
      const { hooks } = await session('mlflow', options);
      await hooks.start({ preset: 'night', directory, resume: false, settings: { seed: 1 } });
      await hooks.finish({ outcome: 'done', directory });
      expect([store.runs.length, store.params.size]).toEqual([1, 0]);
      isAway = false;
      const later = await session('mlflow', options);
      await later.hooks.sync({ directory });
      expect([store.runs.map(({ status }) => status), [...store.params]]).toEqual([['FINISHED'], [['seed', '1']]]);
    });
  }));

test('what answers in other words than MLflow is said to, in a line', () =>
  withDirectory((directory) =>
    withServer(
      () => ({}),
      async ({ url }) => {
        const { hooks, said } = await session('mlflow', { url, patience: 0.2 });
        await hooks.start({ preset: 'night', directory, resume: false });
        await hooks.finish({ outcome: 'done', directory });
        expect(said[0]).toMatch(
          /is no MLflow server, or of another version: its answer to experiments\/create has no experiment_id; /,
        );
      },
    ),
  ));

test('names of any script stay apart, and one that MLflow would refuse keeps nothing back', () =>
  withDirectory((directory) => {
    const store = new Store();
    return withServer(store.say, async ({ url }) => {
      const { hooks, said } = await session('mlflow', { url });
      await hooks.start({ preset: 'night', directory, resume: false });
      await hooks.step({
        step: 1,
        metrics: { 'reward/真实': 1, 'reward/得分': 2, 'reward/a//b/': 3, ['x'.repeat(300)]: 4 },
      });
      await hooks.finish({ outcome: 'done', directory });
      expect(said).toEqual([]);
      expect(store.metrics.map(({ key }) => key)).toEqual([
        'reward/真实',
        'reward/得分',
        'reward/a/_/b/_',
        'x'.repeat(250),
      ]);
    });
  }));
