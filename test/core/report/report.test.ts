import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Evaluation, EvaluationSample } from '../../../core/contracts/evaluation.ts';
import { writeSamples } from '../../../core/io/sample-folder.ts';
import { encodePng } from '../../../core/io/image.ts';
import { createRun, type RunDirectory } from '../../../core/io/run-directory.ts';
import { cardsOf } from '../../../core/page/curve-cards.js';
import { smooth } from '../../../core/page/curves.js';
import { h } from '../../../core/page/dom.js';
import { chartPlans } from '../../../core/report/curves.ts';
import { writeReport } from '../../../core/report/report.ts';
import { choosePairs, compare, pairSamples, sentenceOf } from '../../../core/report/summary.ts';
import { writeHtml } from '../../../core/report/written.ts';

const pixel = (await encodePng({ width: 1, height: 1, data: Uint8Array.of(9, 8, 7) })).toString('base64');
const nasty = `<script>alert("1")</script> & 'quoted' "><img src=x onerror=alert(2)>`;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'reasongen-report-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function sample(prompt: string, pass: boolean, more: Partial<EvaluationSample> = {}): EvaluationSample {
  return {
    prompt,
    task: 'counting',
    rationale: 'plan',
    image: pixel,
    pass,
    why: pass ? 'right' : 'wrong',
    scores: { verdict: { value: Number(pass) } },
    ...more,
  };
}

function evaluation(label: string, step: number, passes: number, more: Partial<Evaluation> = {}): Evaluation {
  const tasks = { counting: { passes, total: 200 } };
  return {
    label,
    step,
    benchmark: 'nano-geneval',
    split: 'heldout',
    seed: 1,
    count: 200,
    sampling: { guidance: 1 },
    overall: { passes, total: 200 },
    tasks,
    extra: {},
    samples: [],
    ...more,
  };
}

async function makeRun(name = 'run', started = 12): Promise<RunDirectory> {
  return createRun({
    directory: join(root, name),
    name,
    preset: `name: quick\n# ${nasty}\n`,
    command: ['npx', 'reasongen', 'run', 'my preset.yaml', '--set', "name=it's"],
    description: {
      versions: { node: '20' },
      adapter: { description: 'llvmpipe' },
      seeds: { run: 7 },
      hashes: { weights: 'ab'.repeat(32) },
    },
    now: () => new Date(Date.UTC(2030, 0, 1, started++)),
  });
}

/** A report's own sheet and script, and what is between them. */
function ownParts(page: string): { readonly body: string; readonly style: string; readonly script: string } {
  const [, style = '', body = '', script = ''] =
    /<style>(.*?)<\/style>\n<\/head>\n(.*)\n<script>(.*?)<\/script>\n<\/body>\n<\/html>\n$/s.exec(page) ?? [];
  expect(script).not.toBe('');
  return { body, style, script };
}

async function read(path: string): Promise<string> {
  return readFile(path, 'utf8');
}

describe('the result in words', () => {
  const sentence = (...evaluations: Evaluation[]): string =>
    sentenceOf(compare(evaluations)[0] as never).replaceAll('\u00a0', ' ');

  test.each([
    [100, 130, 'Held-out pass rate rose: .50 [.43, .57] → .65 [.58, .71]'],
    [100, 110, 'Held-out pass rate .50 [.43, .57] → .55 [.48, .62]: no change clear of noise'],
    [130, 100, 'Held-out pass rate fell: .65 [.58, .71] → .50 [.43, .57]'],
    [200, 200, 'Held-out pass rate 1.00 [.98, 1.00] → 1.00 [.98, 1.00]: no change clear of noise'],
  ])('%i, then %i of 200', (first, last, words) => {
    expect(sentence(evaluation('before', 0, first), evaluation('after', 50, last))).toBe(words);
  });

  test('pictures are paired where both records tell of all of them: what is clear then need not be clear apart', () => {
    const verdicts = (passing: (index: number) => boolean) =>
      Array.from({ length: 200 }, (_, index) => ({
        index,
        copy: 0,
        prompt: String(index),
        task: 'counting',
        pass: passing(index),
        score: Number(passing(index)),
        why: '',
      }));
    const before = evaluation('before', 0, 100, { verdicts: verdicts((index) => index < 100) });
    const better = evaluation('after', 50, 115, { verdicts: verdicts((index) => index < 115) });
    expect(sentence(before, better)).toBe(
      'Held-out pass rate rose: .50 [.43, .57] → .57 [.51, .64], paired difference +.07 [+.04, +.11]',
    );
    const shuffled = evaluation('after', 50, 115, { verdicts: verdicts((index) => index >= 85) });
    expect(sentence(before, shuffled)).toBe(
      'Held-out pass rate .50 [.43, .57] → .57 [.51, .64], paired difference +.07 [−.06, +.21]: no change clear of noise',
    );
    expect(compare([before, better])[0]?.tasks[0]?.paired).toMatchObject({ rose: 15, fell: 0, pairs: 200 });
  });

  test('a benchmark with a headline of its own is told by it, and by the judges that made it', () => {
    const own = {
      title: 'GenEval (RT-DETRv2)',
      headline: { name: 'overall', value: 0.71, low: 0.69, high: 0.73 },
      subScores: { counting: { value: 0.4, low: 0.3, high: 0.5 } },
    };
    expect(sentence(evaluation('evaluation', 0, 100, own))).toBe('Held-out GenEval (RT-DETRv2) overall .71 [.69, .73]');
    const outOf = { ...own, outOf: 100, headline: { name: 'overall', value: 71, low: 69, high: 73 } };
    expect(compare([evaluation('evaluation', 0, 100, outOf)])[0]?.overall.after).toMatchObject({ rate: 0.71 });
  });

  test('a single evaluation is not a comparison, nor are two of other settings', () => {
    expect(sentence(evaluation('evaluation', 0, 100))).toBe('Held-out pass rate .50 [.43, .57]');
    const [comparison] = compare([
      evaluation('before', 0, 100, { sampling: { guidance: 3 } }),
      evaluation('after', 50, 180),
    ]);
    expect(comparison?.before).toBeUndefined();
    expect(
      compare([evaluation('before', 0, 100, { seed: 2 }), evaluation('after', 50, 180)])[0]?.before,
    ).toBeUndefined();
  });

  test('held-out prompts come first, each benchmark by itself', () => {
    const all = [
      evaluation('a', 0, 1, { split: 'seen' }),
      evaluation('a', 0, 2),
      evaluation('a', 0, 3, { benchmark: 'other' }),
    ];
    expect(compare(all).map(({ split, benchmark }) => [split, benchmark])).toEqual([
      ['heldout', 'nano-geneval'],
      ['heldout', 'other'],
      ['seen', 'nano-geneval'],
    ]);
  });
});

describe('several benchmarks are told apart wherever a report speaks of one', () => {
  const two = (more: Partial<Evaluation> = {}): Evaluation[] =>
    ['one', 'other'].flatMap((benchmark, index) => [
      evaluation('before', 0, 100, { benchmark, extra: { variety: index }, samples: [sample('a', false)], ...more }),
      evaluation('after', 50, 130, { benchmark, extra: { variety: index }, samples: [sample('a', true)], ...more }),
    ]);

  test('in the sentence, also of one published benchmark under two names', () => {
    for (const title of [undefined, 'GenEval']) {
      const all = compare(two(title === undefined ? {} : { title }));
      const sentences = all.map((each) => sentenceOf(each, all));
      expect(sentences[0]).toMatch(/^one, held-out .*pass rate rose/);
      expect(sentences[1]).toMatch(/^other, held-out .*pass rate rose/);
    }
  });

  test.each([[['heldout']], [['heldout', 'seen']], [['heldout', 'pool']]])(
    'on the page: headline, what it rests on, tables, drawings (%j)',
    async (splits) => {
      const run = await makeRun();
      for (const split of splits) for (const record of two({ split })) await run.writeEvaluation(record);
      await run.close('done');
      const text = (await read(await writeReport(run.path))).replaceAll('\u00a0', ' ').replaceAll(/\s+/g, ' ');
      const [headline = ''] = /<p class="headline">.*?<\/p>/.exec(text) ?? [];
      for (const name of ['one', 'other']) {
        expect(headline).toContain(`${name}, held-out pass rate rose`);
        expect(headline.includes(`${name}, training prompts pass rate rose`)).toBe(splits.includes('pool'));
        expect(text).toContain(`200 prompts of ${name}, one drawing each`);
        expect(text).toContain(`<th scope="col">${name}, held-out, before</th>`);
        expect(text).toContain(`Before and after: ${name}, held-out prompts`);
      }
      for (const tag of [
        /<summary>(?!verdict)[^<]*<\/summary>/g,
        /<h2>[^<]*<\/h2>/g,
        /<caption>(?!Rewards).*?<\/caption>/g,
        /<div class="scroll"[^>]*>/g,
      ]) {
        const found = text.match(tag) ?? [];
        expect(new Set(found).size).toBe(found.length);
      }
    },
  );

  test('one benchmark is not named where nothing else is shown', () => {
    const all = compare([evaluation('before', 0, 100), evaluation('after', 50, 130, { split: 'seen' })]);
    expect(sentenceOf(all[0] as never, all)).toMatch(/^Held-out pass rate/);
  });
});

describe('pairs', () => {
  test('match by prompt, a repeated prompt in order', () => {
    const before = evaluation('before', 0, 1, { samples: [sample('a', true), sample('b', true), sample('a', false)] });
    const after = evaluation('after', 9, 1, { samples: [sample('a', false), sample('a', true), sample('c', true)] });
    const pairs = pairSamples(compare([before, after])[0] as never);
    expect(pairs.map((pair) => [pair.after.prompt, pair.before?.pass])).toEqual([
      ['a', true],
      ['a', false],
      ['c', undefined],
    ]);
  });

  test('are chosen by task and place, never by result', () => {
    const pairs = ['x', 'x', 'x', 'y', 'y'].map((task, index) => ({
      before: undefined,
      after: sample(String(index), index % 2 === 0, { task }),
    }));
    const chosen = choosePairs(pairs, 3).map(({ after }) => after.prompt);
    expect(chosen).toEqual(['0', '1', '3']);
    const turned = pairs.map(({ after }) => ({ before: undefined, after: { ...after, pass: !after.pass } }));
    expect(choosePairs(turned, 3).map(({ after }) => after.prompt)).toEqual(chosen);
    expect(choosePairs(pairs, 99)).toEqual(pairs);
  });
});

describe('curves', () => {
  test('every number of the metrics is in exactly one chart', () => {
    const line = {
      step: 1,
      reward: 0.5,
      'reward/verdict': 0.5,
      'reward/format': 1,
      'text/entropy': 0.3,
      'image/entropy': 0.8,
      loss: 1,
      keptShare: 0.6,
      mine: 3,
      phase: 'warm',
    };
    const names = Object.keys(line).filter((name) => name !== 'step' && name !== 'phase');
    const { planned, single } = cardsOf(chartPlans, names);
    expect([...planned, ...single].flatMap((card) => card.names).toSorted()).toEqual(names.toSorted());
    expect(planned.map(({ title }) => title)).toEqual(['Loss', 'Reward', 'Entropy', 'Kept groups']);
    expect(single.map(({ title }) => title)).toEqual(['Mine']);
  });

  test('the only reward is not drawn twice', () => {
    expect(cardsOf(chartPlans, ['reward', 'reward/verdict']).planned.map(({ names }) => names)).toEqual([['reward']]);
  });

  test('the smooth line keeps a constant, gaps and the number of points, and is not drawn to 0 at its beginning', () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 500 }),
        fc.integer({ min: -9, max: 9 }),
        fc.double({ min: 0, max: 0.98, noNaN: true }),
        (isThere, value, weight) => {
          const values = isThere.map((is) => (is ? value : null));
          for (const [at, mean] of smooth(values, weight).entries())
            if (values[at] === null) expect(mean).toBeNull();
            else expect(mean).toBeCloseTo(value, 9);
        },
      ),
    );
    expect(smooth([0, 3, 6], 0.5).map((value) => Number(value?.toFixed(3)))).toEqual([0, 2, 4.286]);
  });
});

describe('html', { timeout: 30_000 }, () => {
  test('no text can become markup', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const markup = writeHtml(h('p', { title: text }, [text]));
        const [, attribute = '', content = ''] = /^<p title="([^"<>]*)">([^<>]*)<\/p>$/.exec(markup) ?? [];
        const overrides = /[\u202a-\u202e\u2066-\u2069]/g;
        expect(attribute.replaceAll(overrides, '\ufffd')).toBe(content);
        const back = content
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&quot;', '"')
          .replaceAll('&#39;', "'")
          .replaceAll('&amp;', '&');
        // What HTML forbids is replaced, everything else survives.
        expect(back).toBe(
          text.replaceAll(/(?![\t\n\r])\p{Cc}|\p{Surrogate}/gu, '\ufffd').replaceAll(overrides, '\ufffd'),
        );
      }),
    );
  });
});

describe('the page', { timeout: 60_000 }, () => {
  async function fullRun(): Promise<RunDirectory> {
    const run = await makeRun();
    for (let step = 1; step <= 60; step++) {
      run.metrics.append({
        step,
        reward: step / 60,
        'text/entropy': 0.3,
        'image/entropy': 0.8,
        keptShare: 0.5,
        gradientNorm: step === 7 ? Number.NaN : 1,
        clipFraction: 0.01,
        [nasty]: 1,
      });
    }
    const before = [
      sample(nasty, false, {
        rationale: nasty,
        why: nasty,
        task: nasty,
        scores: { [nasty]: { value: 0, why: nasty, parts: { [nasty]: 1 } } },
      }),
      sample('two cakes', false),
    ];
    const after = [sample(nasty, true), sample('two cakes', true, { rationale: 'plan : first cake' })];
    await run.writeEvaluation(
      evaluation('before', 0, 100, {
        samples: before,
        extra: { distinctLayouts: 37, [nasty]: 1 },
        tasks: { [nasty]: { passes: 100, total: 200 } },
      }),
    );
    await run.writeEvaluation(
      evaluation('after', 60, 130, {
        samples: after,
        extra: { distinctLayouts: 12 },
        tasks: { [nasty]: { passes: 130, total: 200 } },
      }),
    );
    appendFileSync(join(run.path, 'log.txt'), '2030-01-01T13:00:00.000Z warning: the rate is high\n');
    await writeSamples(run.path, 'samples/step-000060', [
      {
        prompt: nasty,
        task: 'counting',
        rationale: nasty,
        scores: {},
        total: 1,
        advantage: -0.25,
        png: Buffer.from(pixel, 'base64'),
      },
    ]);
    return run;
  }

  test('shows what the records say', async () => {
    const run = await fullRun();
    await run.close('done');
    const page = (await read(await writeReport(run.path))).replaceAll('\u00a0', ' ');
    for (const text of [
      'Held-out pass rate rose: .50 [.43, .57] → .65 [.58, .71].',
      '+.15',
      'Distinct layouts',
      '37',
      '12',
      'two cakes',
      'plan : first cake',
      '✓ pass',
      '✗ fail',
      'right',
      'wrong',
      '2 went from fail to pass, 0 from pass to fail',
      '1 not finite',
      '<span title="advantage within the group">A −0.25</span>',
      'the rate is high',
      `data:image/png;base64,${pixel}`,
      'llvmpipe',
      'ab'.repeat(32),
      '1h00m',
      'npx reasongen run &#39;my preset.yaml&#39; --set &#39;name=it&#39;\\&#39;&#39;s&#39;',
      'Entropy',
      'Kept groups',
      'Clipped tokens',
    ])
      expect(page).toContain(text);
    for (const title of ['Reward', 'Entropy', 'Kept groups', 'Gradient norm', 'Clipped tokens'])
      expect(page).toContain(`<figcaption><h3>${title}</h3>`);
    expect(page.match(/<figure class="card chart">/g)).toHaveLength(6);
    expect(page).toContain('Reward: reward from 0.0167 at step 1 to 1 at step 60');
    expect(page).not.toContain('NaN');
    expect(page).not.toContain('undefined');
  });

  test('opens offline and runs nothing but the one script that its policy names, whatever the records hold', async () => {
    const run = await fullRun();
    await run.close('done');
    const page = await read(await writeReport(run.path));
    const { body, style, script } = ownParts(page);
    const hash = (text: string): string => `&#39;sha256-${createHash('sha256').update(text).digest('base64')}&#39;`;
    const [, policy = ''] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page) ?? [];
    expect(policy.replaceAll("'", '&#39;').split('; ')).toEqual([
      'default-src &#39;none&#39;',
      'img-src data:',
      `style-src ${hash(style)}`,
      `script-src ${hash(script)}`,
      'base-uri &#39;none&#39;',
      'form-action &#39;none&#39;',
      'require-trusted-types-for &#39;script&#39;',
      'trusted-types &#39;none&#39;',
    ]);
    // Nothing of a run is in what may run.
    const empty = await makeRun('another');
    empty.metrics.append({ step: 1, loss: 1 });
    expect(ownParts(await read(await writeReport(empty.path)))).toMatchObject({ style, script });
    const tags = body.match(/<[a-z][^>]*>/gi) ?? [];
    expect(tags.length).toBeGreaterThan(200);
    expect(tags.some((tag) => /\ssrc=/.test(tag))).toBe(true);
    for (const tag of tags) {
      expect(tag).not.toMatch(/^<(script|iframe|link|object|embed|base|form|a)\b/i);
      const attributes = tag.replaceAll(/="[^"]*"/g, '=""');
      // Every value is quoted, so nothing has broken out of one.
      expect(attributes).toMatch(/^<[a-z][a-z0-9]*(\s+[a-z][a-z0-9-]*="")*>$/i);
      expect(attributes).not.toMatch(/\s(on\w+|href|srcdoc|action)=/i);
      if (/\ssrc=/.test(attributes))
        expect(tag).toMatch(
          /^<img src="data:image\/png;base64,[A-Za-z0-9+/=]+" alt="[^"]*" loading="eager"( decoding="async")?>$/,
        );
    }
    expect(`${body}${style}`).not.toMatch(/https?:|@import|url\(/);
    expect(script).not.toMatch(/fetch\(|XMLHttpRequest|WebSocket|EventSource|import\(/);
    const ids = [...body.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('is the same when it is made again', async () => {
    const run = await fullRun();
    await run.close('done');
    const first = await read(await writeReport(run.path));
    expect(await read(await writeReport(run.path))).toBe(first);
  });

  test('of a run that was killed says so', async () => {
    const run = await makeRun();
    run.metrics.append({ step: 1, loss: 4 });
    run.metrics.append({ step: 2, loss: 2 });
    appendFileSync(run.metrics.path, '{"step":3,"lo');
    const page = await read(await writeReport(run.path));
    expect(page).toContain('2 training steps, no evaluation recorded. Loss 4.00 → 2.00.');
    expect(page).toContain('not finished');
    await run.close('stopped', 'interrupted');
    expect(await read(await writeReport(run.path))).toContain('stopped: interrupted');
  });

  test('of an empty run is a page all the same', async () => {
    const run = await makeRun();
    await run.close('failed');
    expect(await read(await writeReport(run.path))).toContain('Failed, no step was recorded.');
  });

  test('of a chain tells its stages in the order they ran', async () => {
    const later = await makeRun('a-grpo', 18);
    await later.writeEvaluation(evaluation('before', 0, 100));
    await later.writeEvaluation(evaluation('after', 9, 150));
    await later.close('done');
    const earlier = await makeRun('z-sft', 10);
    earlier.metrics.append({ step: 1, loss: 1 });
    await earlier.close('done');
    await mkdir(join(root, 'other'));
    const page = await read(await writeReport(root));
    expect(page.indexOf('Stage: z-sft')).toBeGreaterThan(0);
    expect(page.indexOf('Stage: a-grpo')).toBeGreaterThan(page.indexOf('Stage: z-sft'));
    expect(/class="headline">(.*?)</.exec(page)?.[1]).toMatch(/^Held-out pass rate rose/);
  });

  test('needs a run', async () => {
    await expect(writeReport(root)).rejects.toMatchObject({ code: 'NOT_A_RUN' });
    await expect(writeReport(join(root, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND', exitCode: 6 });
  });
});
