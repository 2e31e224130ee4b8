/** A published model as a judge, on the golden fixtures of Qwen2.5-VL and Qwen3-VL: what transformers computes for them, and what is shared between questions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodePicture } from '../../core/io/image.ts';
import { LookerProcess } from '../../core/models/looker-process.ts';
import { LookingModel } from '../../core/models/looking-model.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import type { Image, Plugin } from '../../core/plugin.ts';
import type { RunningModel } from '../../core/contracts/running-model.ts';
import { at, openTestDevice, testSamples } from '../../core/testing.ts';
import { checkJudge } from '../../core/testing/check-judge.ts';
import { checkReward } from '../../core/testing/check-reward.ts';
import { openComponent, type ContractSettings } from '../../core/testing/contract.ts';
import chat from '../../plugins/chat-judge/index.ts';
import qwen from '../../plugins/qwen-vl/index.ts';
import plugin from '../../plugins/vlm-judge/index.ts';
import { noWords, yesWords } from '../../core/questions/answer.ts';
import { readSafetensors } from '../support/safetensors.ts';

const never = new AbortController().signal;
const [judge, reward] = plugin.provides as never as [
  Parameters<typeof checkJudge>[0],
  Parameters<typeof checkReward>[0],
];
const fixture = (name: string): string => fileURLToPath(new URL(`../golden/qwen-vl/${name}`, import.meta.url));
const folder = fixture('qwen2.5-tiny-a');
const plugins = [qwen] as readonly Plugin[];

let settings: ContractSettings = {};
beforeAll(async () => {
  settings = {
    device: await openTestDevice(),
    plugins,
    options: { model: folder, batch: 4, maxTokens: 6, questionTokens: 1024 },
  };
});
afterAll(() => settings.device?.close());

const picture = (index: number, from = folder): Promise<Image> =>
  decodePicture(readFileSync(join(from, `picture${index}.png`)));

describe('the judge', () => {
  test('keeps its contract', async () => {
    await checkJudge(judge, { ...settings, images: [await picture(0), await picture(2)], texts: ['red', 'a "wall"'] });
  });

  test.each(['qwen2.5-tiny-a', 'qwen2.5-tiny-b', 'qwen3-tiny-a'])(
    '%s: a first token is as likely as by the logits of transformers, summed over spellings',
    async (name) => {
      const from = fixture(name);
      const golden = JSON.parse(readFileSync(join(from, 'golden.json'), 'utf8')) as {
        questions: { picture: number; texts: string[] };
      };
      const values = await readSafetensors(join(from, 'golden.safetensors'));
      const { made, dispose } = await openComponent(judge, {
        ...settings,
        options: { ...settings.options, model: from },
      });
      const { vocab } = (
        JSON.parse(readFileSync(join(from, 'tokenizer.json'), 'utf8')) as {
          model: { vocab: Readonly<Record<string, number>> };
        }
      ).model;
      // The picture as the reference resized it, so that no gray level is left to chance.
      const image = await decodePicture(readFileSync(join(from, `resized${golden.questions.picture}.png`)));
      for (const [index, question] of golden.questions.texts.entries()) {
        const logits = Array.from(values.get(`questions.${index}.last_logits`)?.data ?? [], Number);
        const most = Math.max(...logits);
        const sum = logits.reduce((all, value) => all + Math.exp(value - most), 0);
        const expected = [yesWords, noWords].map((words) => {
          const ids = new Set(words.flatMap((word) => vocab[word] ?? []));
          return [...ids].reduce((all, id) => all + Math.exp(at(logits, id) - most) / sum, 0);
        });
        const found = await made.answerProbabilities?.(image, question, [yesWords, noWords], never);
        expected.forEach((value, set) => expect(Math.abs(at(found ?? [], set) / value - 1)).toBeLessThan(1e-4));
      }
      await dispose();
    },
  );

  test('options and defaults are those of the chat judge, but for what belongs to a server or to a model', () => {
    for (const slot of ['judge', 'reward']) {
      const defaults = (
        of: { readonly provides: readonly { slot: string; options: unknown }[] },
        given: object,
      ): object => {
        const { options } = of.provides.find((each) => each.slot === slot) as {
          options: { parse(value: object): object };
        };
        return options.parse(given);
      };
      const { url: _url, ...asked } = defaults(chat, { url: 'http://localhost:1/v1', model: folder }) as Record<
        string,
        unknown
      >;
      expect(defaults(plugin, { model: folder })).toMatchObject(asked);
    }
  });

  test('storage in few bits is told of, and another folder is another judge', async () => {
    const of = async (options: object): Promise<Readonly<Record<string, string>>> => {
      const { made, dispose } = await openComponent(judge, {
        ...settings,
        options: { ...settings.options, ...options },
      });
      await dispose();
      return made.fingerprint;
    };
    const first = await of({});
    expect(first['model']).toBe('qwen2.5-tiny-a');
    expect(first['weights']).toMatch(/^[0-9a-f]{64}$/);
    expect((await of({ storage: 'int8' }))['model']).toBe('qwen2.5-tiny-a in int8');
    expect((await of({ model: fixture('qwen2.5-tiny-b') }))['weights']).not.toBe(first['weights']);
  });

  test('a folder of another kind, and options of another class, are refused', async () => {
    const opened = async (options: object): Promise<unknown> => {
      const { made, dispose } = await openComponent(judge, {
        ...settings,
        options: { ...settings.options, ...options },
      });
      try {
        return await made.reserve?.();
      } finally {
        await dispose();
      }
    };
    await expect(opened({ model: fixture('..') })).rejects.toMatchObject({ code: 'UNKNOWN_MODEL' });
    await expect(opened({ minPixels: 9000, maxPixels: 4000 })).rejects.toMatchObject({ code: 'MODEL_OPTIONS' });
  });
});

describe('questions about one picture', () => {
  const texts = [
    'Is it red?',
    'Is there a small dog in the lower left corner?',
    'Red?',
    'Is it night?',
    'Is it a wall?',
  ];
  const sets = [yesWords, noWords];

  /** A model of its own, with what it has computed. */
  const opened = async (options: object = {}) => {
    let model: LookingModel | undefined;
    const catching = {
      ...judge,
      create: (_choice: object, scope: ConstructorParameters<typeof LookingModel>[0]) => {
        const sizes = {
          batch: 8,
          questionTokens: 128,
          attentionCache: 'f32',
          storage: 'f32',
          precision: 'f32',
        } as const;
        const choice = { model: folder, ...sizes };
        model = new LookingModel(scope, { ...choice, answerTokens: 8, ...options }, () => scope.published(folder));
        return { title: 'x', fingerprint: {}, answer: async () => '' };
      },
    };
    const { dispose } = await openComponent(catching as never, settings);
    if (model === undefined) throw new Error('unreachable: it was created');
    return { model, dispose };
  };

  test('have the same bits together, later and alone; the picture is looked at, and its tokens are computed, once', async () => {
    const image = await picture(0);
    const alone: (readonly number[])[] = [];
    let work = { looks: 0, passes: 0, passTokens: 0, fedTokens: 0 };
    for (const question of texts) {
      const { model, dispose } = await opened();
      alone.push(await model.probabilities({ image, question, answers: sets }, never));
      const own = await model.work();
      work = {
        looks: work.looks + own.looks,
        passes: work.passes + own.passes,
        passTokens: work.passTokens + own.passTokens,
        fedTokens: work.fedTokens + own.fedTokens,
      };
      await dispose();
    }
    const { model, dispose } = await opened({ batch: 3 });
    // Every time with a copy of the picture, as it comes from elsewhere.
    const ask = (question: string): Promise<readonly number[]> =>
      model.probabilities({ image: { ...image, data: image.data.slice() }, question, answers: sets }, never);
    // The first one alone: the others take over what its row begins with.
    const first = await ask(at(texts, 0));
    expect([first, ...(await Promise.all(texts.slice(1).map(ask)))]).toEqual(alone);
    expect(await model.work()).toEqual({
      looks: 1,
      passes: 1,
      passTokens: work.passTokens / texts.length,
      fedTokens: work.fedTokens,
    });
    expect(work).toMatchObject({ looks: texts.length, passes: texts.length });
    expect(new Set(alone.map(String)).size).toBe(texts.length);
    await dispose();
  });

  test('on tensor cores, where there are some, have nearly the answers of f32, whatever is asked beside; elsewhere those of f32', async () => {
    const image = await picture(0);
    const answered = async (precision: string, batch: number): Promise<(readonly number[])[]> => {
      const { model, dispose } = await opened({ precision, batch });
      const found = await Promise.all(
        texts.map((question) => model.probabilities({ image, question, answers: sets }, never)),
      );
      await dispose();
      return found;
    };
    const plain = await answered('f32', 5);
    const hasMatrices = settings.device !== undefined && usableShapes(settings.device).length > 0;
    for (const [precision, tolerance] of [
      ['f16', 2e-2],
      ['f32-split', 1e-5],
    ] as const) {
      const found = await answered(precision, 5);
      expect(await answered(precision, 2)).toEqual(found);
      if (hasMatrices) expect(found).not.toEqual(plain);
      else expect(found).toEqual(plain);
      for (const [place, shares] of found.entries())
        for (const [answer, share] of shares.entries())
          expect(Math.abs(share - at(at(plain, place), answer))).toBeLessThan(tolerance);
    }
  });

  test('about several pictures, mixed, have the bits of each alone; a row that is needed for another picture is computed again', async () => {
    const images = await Promise.all([0, 1, 2].map((index) => picture(index)));
    const { model, dispose } = await opened({ batch: 2 });
    const ask = (image: Image, question: string): Promise<readonly number[]> =>
      model.probabilities({ image, question, answers: sets }, never);
    const wanted = images.flatMap((image) => texts.slice(0, 3).map((question) => ({ image, question })));
    const alone: (readonly number[])[] = [];
    for (const { image, question } of wanted) alone.push(await ask(image, question));
    const before = await model.work();
    // Rows held the last picture and the one before: nine questions one by one looked at each picture once.
    expect(before.looks).toBe(3);
    const order = [0, 3, 6, 1, 4, 7, 2, 5, 8];
    const mixed = await Promise.all(order.map((place) => ask(at(wanted, place).image, at(wanted, place).question)));
    expect(mixed).toEqual(order.map((place) => at(alone, place)));
    expect((await model.work()).looks).toBeGreaterThan(before.looks);
    await dispose();
  });

  test('are written as alone, whoever has ended', async () => {
    const images = [await picture(0), await picture(1)];
    const { model, dispose } = await opened({ answerTokens: 12 });
    const asked = images.flatMap((image) => texts.slice(0, 3).map((question) => ({ image, question })));
    const alone = [];
    for (const each of asked) {
      const own = await opened({ answerTokens: 12 });
      alone.push(await own.model.write(each, never));
      await own.dispose();
    }
    expect(await Promise.all(asked.map((each) => model.write(each, never)))).toEqual(alone);
    expect((await model.work()).passes).toBe(2);
    // And behind them what is told by first tokens uses the same beginnings.
    await model.probabilities({ image: at(images, 1), question: 'Blue?', answers: sets }, never);
    expect(await model.work()).toMatchObject({ looks: 2, passes: 2 });
    await dispose();
  });

  test('with a temperature answers differ by turn, and by nothing else', async () => {
    const { model, dispose } = await opened({ temperature: 1 });
    const image = await picture(0);
    const ask = (turn: number): Promise<unknown> => model.write({ image, question: 'Why?', turn }, never);
    const [first, second] = [await ask(0), await ask(1)];
    expect(first).not.toEqual(second);
    expect(await Promise.all([ask(1), ask(0)])).toEqual([second, first]);
    await dispose();
  });
});

describe('a model that swaps', () => {
  test('is on the device only while it is asked, and comes back bit for bit', async () => {
    const { device } = settings;
    if (device === undefined) throw new Error('there is no device');
    // Read-back is the device's own, and stays.
    device.reserveReadBack(2 ** 22);
    const samples = await Promise.all(
      testSamples().map(async (sample, index) => ({ ...sample, image: await picture(index % 2) })),
    );
    for (const storage of ['f32', 'bf16', 'int8', 'int4']) {
      const options = { ...settings.options, mode: 'graded', unparsed: 'zero', storage };
      const staying = await openComponent(reward, { ...settings, options });
      expect(staying.made.rest).toBeUndefined();
      const expected = await staying.made.score(samples, never);
      await staying.dispose();
      const before = device.memory.bytes;
      let rests = 0;
      const model: RunningModel = {
        weights: { get: () => undefined as never },
        begunWith: undefined,
        rest: () => {
          rests += 1;
          return () => undefined;
        },
      };
      const { made, dispose } = await openComponent(reward, {
        ...settings,
        model,
        options: { ...options, place: 'swap' },
      });
      await made.reserve?.();
      expect(device.memory.bytes).toBeGreaterThan(before + 100_000);
      await made.rest?.();
      const away = device.memory.bytes;
      expect(away).toBe(before);
      for (let round = 0; round < 2; round++) {
        expect(await made.score(samples, never)).toEqual(expected);
        expect(device.memory.bytes).toBeGreaterThan(away + 100_000);
        await made.rest?.();
        expect(device.memory.bytes).toBe(away);
      }
      // To reserve, and for each round: what training works in makes room.
      expect(rests).toBe(3);
      await dispose();
    }
  });
});

describe('a model in another process', () => {
  test('answers with the same bits, says what is wrong, and ends with the run', async () => {
    const here = await openComponent(judge, settings);
    const { made, dispose } = await openComponent(judge, {
      ...settings,
      options: { ...settings.options, place: 'process' },
    });
    const image = await picture(0);
    const questions = ['Is it red?', 'Why?'];
    const sets = [yesWords, noWords];
    for (const question of questions) {
      expect(await made.answerProbabilities?.(image, question, sets, never)).toEqual(
        await here.made.answerProbabilities?.(image, question, sets, never),
      );
      expect(await made.answer?.(image, question, never)).toBe(await here.made.answer?.(image, question, never));
    }
    await expect(made.answer?.(image, 'Is it red? '.repeat(400), never)).rejects.toMatchObject({
      code: 'QUESTION_TOO_LONG',
    });
    const left = new AbortController();
    const given = made.answer?.(image, 'Really?', left.signal);
    left.abort(new Error('given up'));
    await expect(given).rejects.toThrow('given up');
    await dispose();
    await here.dispose();
  });

  test('what it warns of comes to the log of the run', async () => {
    const warnings: string[] = [];
    const choice = { batch: 1, questionTokens: 128, answerTokens: 0, attentionCache: 'f32', storage: 'f32' } as const;
    const setup = { choice: { model: folder, precision: 'f16', ...choice }, pictures: {}, seed: 0 } as const;
    const looker = new LookerProcess(setup, { warn: (message) => void warnings.push(message) });
    await looker.reserve();
    looker.close();
    const hasMatrices = settings.device !== undefined && usableShapes(settings.device).length > 0;
    const expected = /^products asked for in f16 are computed in f32: .* offers no /;
    expect(warnings).toEqual(hasMatrices ? [] : [expect.stringMatching(expected)]);
  });

  test('an adapter that is not there is said', async () => {
    const { made, dispose } = await openComponent(judge, {
      ...settings,
      options: { ...settings.options, place: 'process', adapter: 'no such adapter' },
    });
    await expect(made.reserve?.()).rejects.toMatchObject({ code: 'NO_ADAPTER' });
    await dispose();
  });
});

test('left to workers, it says so', async () => {
  const options = { ...settings.options, place: 'worker' };
  const opened = [
    await openComponent(judge, { ...settings, options }),
    await openComponent(reward, { ...settings, options }),
  ];
  for (const { made, dispose } of opened) {
    expect(made.byWorkers).toBe(true);
    await dispose();
  }
});

describe('the reward', () => {
  test.each(['graded', 'decomposed', 'boxed'])('%s keeps the contract of rewards', async (mode) => {
    const samples = testSamples().map((sample) => ({
      ...sample,
      specification: { include: [{ class: 'dog', count: 2, color: 'red' }] },
    }));
    const options = { ...settings.options, mode, unparsed: 'zero' };
    await checkReward(reward, { ...settings, options, samples, range: [0, 1] });
  });

  test('a picture is shown smaller where the preset says so, and as it is looked at where it sets limits', async () => {
    const image = await picture(0);
    const ask = async (options: object): Promise<unknown> => {
      const { made, dispose } = await openComponent(judge, {
        ...settings,
        options: { ...settings.options, ...options },
      });
      const known = await made.answerProbabilities?.(image, 'Is it red?', [yesWords, noWords], never);
      await dispose();
      return known;
    };
    const [asDrawn, small, shrunk] = [await ask({}), await ask({ pictureSide: 60 }), await ask({ maxPixels: 3136 })];
    expect(new Set([asDrawn, small, shrunk].map(String)).size).toBe(3);
  });
});
