/** How calls are made, by a clock that runs as fast as the test. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { tallied } from '../../../core/call-tally.ts';
import type { Question } from '../../../core/contracts/calls.ts';
import type { CallSettings } from '../../../core/contracts/preset.ts';
import { PolicedCalls } from '../../../core/judging/calls.ts';
import { TryAgainError } from '../../../core/try-again.ts';
import { ScriptedClock } from '../../support/scripted-clock.ts';

const folders: string[] = [];
const folder = (): string => {
  folders.push(mkdtempSync(join(tmpdir(), 'reasongen-calls-')));
  return folders.at(-1)!;
};
afterAll(() => folders.forEach((each) => rmSync(each, { recursive: true })));

const warnings: string[] = [];
beforeEach(() => warnings.splice(0));
const { signal } = new AbortController();
const image = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) };
const about = (asked: unknown, model = 'm'): Question => ({ image, fingerprint: { model }, asked });

function open(settings: CallSettings, clock = new ScriptedClock(), kept?: string): PolicedCalls {
  const log = { warn: (line: string) => void warnings.push(line) };
  return new PolicedCalls({ settings, who: 'judge "seer"', component: 'seer', log, folder: kept, clock });
}

/** A side that answers after some milliseconds, or fails as `fault` says of the moment it is asked; it notes when it was asked. */
class Side {
  readonly times: number[] = [];
  underWay = 0;
  most = 0;
  readonly clock: ScriptedClock;
  readonly milliseconds: number;
  readonly fault: (time: number, count: number) => TryAgainError | 'hangs' | undefined;

  constructor(clock: ScriptedClock, milliseconds: number, fault: Side['fault'] = () => undefined) {
    this.clock = clock;
    this.milliseconds = milliseconds;
    this.fault = fault;
  }

  readonly ask = async (given: AbortSignal): Promise<string> => {
    const fault = this.fault(this.clock.now(), this.times.length);
    this.times.push(this.clock.now());
    this.underWay += 1;
    this.most = Math.max(this.most, this.underWay);
    try {
      await this.clock.wait(fault === 'hangs' ? 1e9 : this.milliseconds, given);
    } finally {
      this.underWay -= 1;
    }
    if (fault instanceof TryAgainError) throw fault;
    return 'yes';
  };
}

const many = (calls: PolicedCalls, side: Side, count: number): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, () => calls.run(side.ask, signal)));

describe('calls are made', () => {
  test('a few at a time', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 1000);
    await clock.run(many(open({ atOnce: 3 }, clock), side, 10));
    expect(side.most).toBe(3);
    expect(clock.now()).toBe(4000);
  });

  test('so many in a minute', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 10);
    await clock.run(many(open({ perMinute: 5 }, clock), side, 12));
    for (const start of side.times)
      expect(side.times.filter((time) => time >= start && time < start + 60_000).length).toBeLessThanOrEqual(5);
    expect(clock.now()).toBeGreaterThanOrEqual(120_000);
    expect(clock.now()).toBeLessThan(122_000);
  });

  test('within a time, also where the work does not listen', async () => {
    const clock = new ScriptedClock();
    const deaf = (): Promise<string> => new Promise(() => {});
    const failure = clock.run(open({ timeout: 5, retries: 1 }, clock).run(deaf, signal));
    await expect(failure).rejects.toMatchObject({
      code: 'JUDGE_UNREACHABLE',
      message: expect.stringMatching(
        /^judge "seer" could not be asked in 2 attempts .*gave no answer within 5 s/,
      ) as string,
    });
    expect(clock.now()).toBeLessThan(12_000);
  });

  test('again after growing pauses, and a failure that does not pass is handed on at once', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 10, (_, count) => (count < 2 ? new TryAgainError('answered 503') : undefined));
    expect(await clock.run(open({}, clock).run(side.ask, signal))).toBe('yes');
    const [first = 0, second = 0, third = 0] = side.times;
    expect(second - first).toBeGreaterThanOrEqual(500);
    expect(third - second).toBeGreaterThanOrEqual(1000);
    let asked = 0;
    const broken = (): Promise<string> => {
      asked += 1;
      return Promise.reject(new TypeError('x is undefined'));
    };
    await expect(clock.run(open({}, clock).run(broken, signal))).rejects.toThrow('x is undefined');
    expect(asked).toBe(1);
  });

  test('not for ever: nobody at all is tried three times, and a side that wants to be left alone for long once', async () => {
    const clock = new ScriptedClock();
    const nobody = new Side(clock, 10, () => new TryAgainError('connect ECONNREFUSED', { isUnreachable: true }));
    await expect(clock.run(open({}, clock).run(nobody.ask, signal))).rejects.toMatchObject({
      message: expect.stringContaining('cannot be reached: connect ECONNREFUSED') as string,
      hint: expect.stringContaining('start the endpoint') as string,
    });
    expect(nobody.times).toHaveLength(3);
    const tired = new Side(clock, 10, () => new TryAgainError('answered 429', { seconds: 86_400 }));
    await expect(clock.run(open({}, clock).run(tired.ask, signal))).rejects.toMatchObject({
      code: 'JUDGE_UNREACHABLE',
    });
    expect(tired.times).toHaveLength(1);
  });

  test('no more once the run is given up', async () => {
    const clock = new ScriptedClock();
    const given = new AbortController();
    const side = new Side(clock, 1000);
    const calls = open({ atOnce: 1 }, clock);
    const all = Promise.allSettled([1, 2, 3].map(() => calls.run(side.ask, given.signal)));
    given.abort(new Error('given up'));
    for (const each of await clock.run(all))
      expect(each).toMatchObject({ status: 'rejected', reason: { message: 'given up' } });
    expect(side.times.length).toBeLessThanOrEqual(1);
  });
});

describe('a side that fails is left alone', () => {
  test('by all as long as it asks; then one tries, and the others follow', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 100, (time) =>
      time < 5000 ? new TryAgainError('answered 429', { seconds: 5 }) : undefined,
    );
    await clock.run(many(open({ atOnce: 4 }, clock), side, 20));
    const early = side.times.filter((time) => time < 5000);
    expect(early).toHaveLength(4);
    const [first = 0, second = 0] = side.times.filter((time) => time >= 5000);
    expect(first).toBeGreaterThanOrEqual(5100);
    expect(second - first).toBeGreaterThanOrEqual(100);
    expect(side.times).toHaveLength(24);
    expect(warnings).toEqual(['judge "seer": answered 429; it is asked again in 5.0 s']);
  });

  test('after a few failures in a row, for longer and longer, and it is said', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 10, (time) => (time < 30_000 ? new TryAgainError('answered 500') : undefined));
    await clock.run(many(open({ atOnce: 8 }, clock), side, 50));
    // Eight at once, and then one at a time: 30 seconds of silence cost a dozen requests.
    expect(side.times.length - 50).toBeLessThanOrEqual(16);
    expect(warnings.length).toBeGreaterThanOrEqual(3);
    expect(warnings[0]).toMatch(/^judge "seer": answered 500; it is asked again in \d\.\d s$/);
  });

  test('whatever it does for a minute: at most twice the requests that are needed, and none before it said', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.integer({ min: 150, max: 400 }),
        async (seed, count) => {
          const clock = new ScriptedClock(seed);
          let silentUntil = 0;
          let early = 0;
          const side = new Side(clock, 300, (time) => {
            if (time < silentUntil) early += 1;
            if (time > 60_000) return undefined;
            const chance = clock.chance();
            if (chance < 0.1) {
              silentUntil = Math.max(silentUntil, time + 300 + 2000);
              return new TryAgainError('answered 429', { seconds: 2 });
            }
            if (chance < 0.25) return new TryAgainError('answered 500');
            if (chance < 0.3) return 'hangs';
            return chance < 0.35 ? new TryAgainError('the answer broke off') : undefined;
          });
          const said = await clock.run(many(open({ atOnce: 4, timeout: 3 }, clock), side, count));
          expect(said).toHaveLength(count);
          expect(side.times.length).toBeLessThanOrEqual(2 * count);
          // Those that were under way when it said so do not count.
          expect(early).toBeLessThanOrEqual(side.times.length - count);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('what was answered', () => {
  test('is kept: the same questions are asked of nobody, by this session or the next', async () => {
    const [clock, kept] = [new ScriptedClock(), folder()];
    const side = new Side(clock, 10);
    const ask = (calls: PolicedCalls, question: Question): Promise<string> => calls.run(side.ask, signal, question);
    const first = open({}, clock, kept);
    await clock.run(Promise.all([ask(first, about('a')), ask(first, about('b')), ask(first, about('a', 'other'))]));
    expect(side.times).toHaveLength(3);
    const { tally } = await clock.run(tallied(() => ask(first, about('a'))));
    expect(tally).toEqual({ questions: 1, kept: 1, tokens: 0 });
    await first.close();
    const second = open({}, clock, kept);
    const again = [about('a'), about('b'), about('a', 'other')];
    expect(await clock.run(Promise.all(again.map((question) => ask(second, question))))).toEqual(['yes', 'yes', 'yes']);
    expect(side.times).toHaveLength(3);
    const pixels = { ...image, data: Uint8Array.of(1, 2, 4) };
    await clock.run(ask(second, { ...about('a'), image: pixels }));
    await clock.run(ask(second, { ...about('a'), image: { ...image, width: 3, height: 1 } }));
    expect(side.times).toHaveLength(5);
    await second.close();
    // A file for each fingerprint, so that one may be thrown away.
    expect(readdirSync(kept)).toHaveLength(2);
  });

  test('is not kept where the folder cannot be made, which is said', async () => {
    const clock = new ScriptedClock();
    const file = join(folder(), 'a-file');
    writeFileSync(file, '');
    const calls = open({}, clock, join(file, 'below'));
    const side = new Side(clock, 10);
    expect(await clock.run(calls.run(side.ask, signal, about('a')))).toBe('yes');
    expect(warnings).toEqual([expect.stringMatching(/^answers of judge "seer" are not kept: /)]);
  });

  test('serves all who ask the same at the same time; one who gives up takes nothing from the others', async () => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 1000);
    const calls = open({}, clock);
    const given = new AbortController();
    const all = Promise.allSettled([
      calls.run(side.ask, given.signal, about('a')),
      calls.run(side.ask, signal, about('a')),
      calls.run(side.ask, signal, about('a')),
    ]);
    given.abort(new Error('given up'));
    expect((await clock.run(all)).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(side.times).toHaveLength(1);
  });
});

describe('a budget', () => {
  test.each([
    [{ requests: 3 }, '3 requests are spent'],
    [{ tokens: 250 }, '300 tokens of 250 are spent'],
  ])('%j ends the session', async (budget, message) => {
    const clock = new ScriptedClock();
    const side = new Side(clock, 10);
    const calls = open({ atOnce: 1, budget }, clock);
    const spending = async (): Promise<string> => {
      const answer = await side.ask(signal);
      calls.spend(100);
      return answer;
    };
    const all = Promise.allSettled(Array.from({ length: 5 }, () => calls.run(spending, signal)));
    const ends = await clock.run(all);
    expect(ends.map(({ status }) => status)).toEqual([...Array<string>(3).fill('fulfilled'), 'rejected', 'rejected']);
    expect(ends[3]).toMatchObject({
      reason: {
        code: 'BUDGET_SPENT',
        exitCode: 7,
        place: 'judge "seer"',
        message: expect.stringContaining(message) as string,
      },
    });
    expect(side.times).toHaveLength(3);
  });
});
