import { describe, expect, test } from 'vitest';
import { createLog, formatSeconds, recordedLog } from '../../core/log.ts';

function piped(): { text: () => string; log: ReturnType<typeof createLog>; wait: (milliseconds: number) => void } {
  let text = '';
  let time = 0;
  const stream = { write: (part: string) => ((text += part), true) };
  const log = createLog({ stream, lineMilliseconds: 5000, now: () => time });
  return { text: () => text, log, wait: (milliseconds) => void (time += milliseconds) };
}

test('what a model or a file says moves no terminal, on the screen and in log.txt', () => {
  const { text, log } = piped();
  const kept: string[] = [];
  const recorded = recordedLog(log);
  recorded.recordIn({ log: (message) => void kept.push(message) });
  recorded.log.info('red | \u001b[2J\u0000a\tb\r\u009b31m\nnext');
  recorded.log.warn('\u0007');
  const shown = ['red | \\u001b[2J\\u0000a\tb\\u000d\\u009b31m\nnext', 'warning: \\u0007'];
  expect(text()).toBe(shown.map((line) => `${line}\n`).join(''));
  expect(kept).toEqual(shown);
});

describe('in a pipe', () => {
  test('a line every few seconds with rate, time left and note, and one at the end', () => {
    const { text, log, wait } = piped();
    const progress = log.progress('SFT', 100, { unit: 'step' });
    for (let step = 0; step < 100; step++) {
      wait(100);
      progress.advance(1, `loss ${step}`);
    }
    progress.end();
    progress.end();
    expect(text().split('\n')).toEqual([
      'SFT 50/100  10.0 steps/s  5s left  loss 49',
      'SFT 100/100  10.0 steps/s  0s left  loss 99',
      'SFT 100/100  10.0 steps/s  in 10s  loss 99',
      '',
    ]);
  });

  test('rate and time left count only what is done now, not what was done before a resume', () => {
    const { text, log, wait } = piped();
    const progress = log.progress('GRPO', 100, { done: 90 });
    wait(10_000);
    progress.advance();
    expect(text()).toBe('GRPO 91/100  10.0 s/step  1m30s left\n');
  });

  test('no escape codes; debug only when asked for', () => {
    const { text, log, wait } = piped();
    const progress = log.progress('draw', 2);
    wait(9000);
    progress.advance(2);
    log.warn('careful');
    log.debug('hidden');
    progress.end();
    expect(text()).not.toContain('\u001b');
    expect(text()).toContain('warning: careful\n');
    expect(text()).not.toContain('hidden');
  });
});

test('on a terminal: a bar, and a message does not tear it', () => {
  let text = '';
  const stream = Object.assign(Object.create(process.stderr) as NodeJS.WriteStream, {
    isTTY: true,
    columns: 100,
    write: (part: string) => ((text += part), true),
  });
  const log = createLog({ stream });
  const progress = log.progress('SFT', 4);
  progress.advance(2, 'loss 1.5');
  log.info('saved');
  progress.end();
  expect(text).toMatch(/SFT .*2\/4.*left {2}loss 1\.5/);
  expect(text).toContain('\r\u001b[Ksaved\n');
});

test.each([
  [0, '0s'],
  [59.4, '59s'],
  [75, '1m15s'],
  [3600, '1h00m'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatSeconds(seconds)).toBe(text);
});
