import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TryAgainError } from '../../../core/plugin.ts';
import { type Entry, Outbox, type Send } from '../../../plugins/trackers/outbox.ts';
import { until, withDirectory } from './stand-in.ts';

function opened(directory: string, send: Send, said: string[] = [], atOnce = 100): Outbox {
  const log = { warn: (text: string) => void said.push(text) };
  return new Outbox(join(directory, 'box.ndjson'), { name: 'box', log, send, firstWait: 0.001, atOnce });
}

const step = (number: number, more: Partial<Entry> = {}): Entry => ({
  series: 'steps',
  step: number,
  at: number,
  metrics: { loss: 1 / number },
  ...more,
});

test('what is put is sent in order; what has been taken takes no room', () =>
  withDirectory(async (directory) => {
    const taken: Entry[] = [];
    const box = opened(directory, async (entries) => void taken.push(...entries));
    const all = [1, 2, 3].map((number) => step(number, { metrics: { a: number, b: Number.NaN, c: -Infinity } }));
    for (const entry of all) box.put(entry);
    await box.close(5);
    expect(taken).toEqual(all);
    expect([box.waiting, statSync(join(directory, 'box.ndjson')).size]).toEqual([0, 0]);
  }));

test('a server that is away is asked again, later and later, and the run is told of it once', () =>
  withDirectory(async (directory) => {
    const taken: number[] = [];
    let failures = 5;
    const said: string[] = [];
    const box = opened(
      directory,
      async (entries) => {
        if (failures-- > 0) throw new TryAgainError('answered 503');
        taken.push(...entries.map((entry) => entry.step));
      },
      said,
    );
    box.put(step(1));
    box.put(step(2));
    await box.close(5);
    expect(taken).toEqual([1, 2]);
    expect(said).toEqual([
      expect.stringMatching(/^box cannot be told of this run: answered 503; .* is kept in .*box\.ndjson/),
    ]);
  }));

test('a server that refuses is not asked again in this session; the next one begins with what is left', () =>
  withDirectory(async (directory) => {
    let asked = 0;
    const said: string[] = [];
    const first = opened(
      directory,
      () => {
        asked++;
        return Promise.reject(new Error('answered 401'));
      },
      said,
    );
    first.put(step(1));
    await until(() => said.length > 0);
    await first.close(1);
    expect(asked).toBe(1);
    expect(said.at(-1)).toMatch(/reasongen sync/);
    const taken: number[] = [];
    const second = opened(directory, async (entries) => void taken.push(...entries.map((entry) => entry.step)));
    second.put(step(2));
    await second.close(5);
    expect(taken).toEqual([1, 2]);
  }));

test('a server that never answers keeps nobody waiting longer than was said', () =>
  withDirectory(async (directory) => {
    const said: string[] = [];
    const box = opened(
      directory,
      (_entries, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('given up')))),
      said,
    );
    box.put(step(1));
    const start = performance.now();
    await box.close(0.05);
    expect(performance.now() - start).toBeLessThan(2000);
    expect(box.waiting).toBeGreaterThan(0);
    expect(said).toEqual([expect.stringMatching(/not been told everything/)]);
  }));

test('steps that a resumed run takes again are told of once, those of other series and warnings always', () =>
  withDirectory(async (directory) => {
    const taken: Entry[] = [];
    const send: Send = async (entries) => void taken.push(...entries);
    for (const steps of [
      [1, 2, 3],
      [2, 3, 4],
    ]) {
      const box = opened(directory, send);
      for (const number of steps) box.put(step(number));
      box.put(step(2, { series: 'benchmark/heldout' }));
      box.put({ step: 2, at: 0, warning: 'careful' });
      await box.close(5);
    }
    expect(taken.filter(({ series }) => series === 'steps').map((entry) => entry.step)).toEqual([1, 2, 3, 4]);
    expect(taken.filter(({ series }) => series === 'benchmark/heldout')).toHaveLength(1);
    expect(taken.filter(({ warning }) => warning !== undefined)).toHaveLength(2);
  }));

test('a line that a kill has torn is cut off; one that cannot be read is said and passed over', () =>
  withDirectory(async (directory) => {
    const path = join(directory, 'box.ndjson');
    appendFileSync(path, `${JSON.stringify(step(1))}\nno json\n${JSON.stringify(step(2))}\n{"series":"ste`);
    const [taken, said]: [number[], string[]] = [[], []];
    const box = opened(directory, async (entries) => void taken.push(...entries.map((entry) => entry.step)), said);
    box.put(step(3));
    await box.close(5);
    expect(taken).toEqual([1, 2, 3]);
    expect(said).toEqual([expect.stringMatching(/a line in .* that cannot be read/)]);
  }));

test('a disk that takes no more ends nothing', () =>
  withDirectory(async (directory) => {
    const said: string[] = [];
    const box = opened(join(directory, 'within'), () => Promise.resolve(), said);
    // A folder where the file should be.
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(directory, 'within', 'box.ndjson'));
    box.put(step(1));
    box.put(step(2));
    await box.close(1);
    expect(said).toEqual([expect.stringMatching(/^box is told no more of this run: /)]);
  }));

test('whatever is killed and whenever the server fails: nothing is lost, nothing out of order, and twice only what was in flight', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          count: fc.integer({ min: 0, max: 30 }),
          failures: fc.integer({ min: 0, max: 3 }),
          size: fc.integer({ min: 1, max: 20_000 }),
        }),
        { minLength: 1, maxLength: 5 },
      ),
      fc.integer({ min: 1, max: 7 }),
      (sessions, atOnce) =>
        withDirectory(async (directory) => {
          const taken: number[] = [];
          let next = 1;
          for (const { count, failures, size } of sessions) {
            let left = failures;
            const box = opened(
              directory,
              async (entries) => {
                if (left-- > 0) throw new TryAgainError('busy');
                taken.push(...entries.map((entry) => entry.step));
              },
              [],
              atOnce,
            );
            for (let index = 0; index < count; index++) box.put({ ...step(next++), warning: 'x'.repeat(size) });
            // Closed at once: a session that ends while it waits leaves the rest to the next.
            await box.close(0);
          }
          const last = opened(
            directory,
            async (entries) => void taken.push(...entries.map((entry) => entry.step)),
            [],
            atOnce,
          );
          await last.flush();
          const once = [...new Set(taken)];
          expect(once).toEqual(Array.from({ length: next - 1 }, (_, index) => index + 1));
          expect(last.waiting).toBe(0);
          // There is no file where nothing was ever put.
          if (next > 1) expect(readFileSync(join(directory, 'box.ndjson'), 'utf8')).toBe('');
        }),
    ),
    { numRuns: 25, examples: [[[{ count: 0, failures: 0, size: 1 }], 1]] },
  ));
