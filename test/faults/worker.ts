/**
 * Runs programs with faults in them, one after the other, in one process: a kill is one on paper, behind which nothing on the disk changes
 * any more. What a killed process leaves and this one would still have, the locks, is made to look like that of one that is gone.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from '../../core/cli.ts';
import { faults } from '../../core/faults.ts';
import type { Answer, Request } from './runner.ts';
import { openSharedDevice } from './shared-device.ts';
import { smallRun } from './small-run.ts';

let unhandled: string[] = [];
process.on('unhandledRejection', (error) =>
  unhandled.push(error instanceof Error ? (error.stack ?? '') : String(error)),
);

process.on('message', (request) => {
  void answer(request as Request).then((result) => process.send?.(result));
});

async function answer({ words, folder, environment, fault }: Request): Promise<Answer> {
  if (faults === undefined) throw new RangeError('start this with REASONGEN_FAULT=armed');
  let said = '';
  const errors = { write: (text: string) => ((said += text), true) };
  const former = Object.keys(environment).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, environment);
  unhandled = [];
  faults.arm(fault);
  const [first = '', ...more] = words;
  const code =
    first === 'small'
      ? await smallRun(more[0] ?? '', errors)
      : await main(words, {
          output: { write: () => undefined },
          errors,
          environment: process.env,
          openDevice: openSharedDevice,
        });
  // What nobody waited for may still fail.
  await new Promise((resolve) => setImmediate(resolve));
  if (!faults.outcome.hasEnded) failBehindTheEnd();
  const { hasEnded, counts } = faults.outcome;
  faults.arm(undefined);
  for (const [name, value] of former) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  letGo(folder);
  const isBroken = !hasEnded && unhandled.length > 0;
  return {
    code: hasEnded ? null : isBroken ? -2 : code,
    said: isBroken ? `nobody waited for what failed:\n${unhandled.join('\n')}\n${said}` : said,
    counts,
    bytes: process.memoryUsage().rss,
  };
}

/** The power may fail when all is done. */
function failBehindTheEnd(): void {
  try {
    faults?.pass('end');
  } catch {
    // It has: there is nobody left to tell.
  }
}

/** The locks that this process holds are those of a process that is gone. */
function letGo(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name);
    if (!/lock|pull/.test(name) || !statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
    const text = readFileSync(path, 'utf8');
    if (text.includes(`"pid":${process.pid},`))
      writeFileSync(path, text.replace(/"processStart":"[^"]*"/, '"processStart":"0"'));
  }
}
