/** The process in which readers are fuzzed: it reads inputs one after another and says of each that it begins and how it ended. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inputOf, openTarget, wrongRefusal, type FuzzReport, type FuzzRequest } from './harness.ts';

const say = (report: FuzzReport): void => void process.send?.(report);

process.once('message', (request: FuzzRequest) => {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-fuzz-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  void answer(request, folder);
});

async function answer(request: FuzzRequest, folder: string): Promise<void> {
  await run(request, folder);
  // What was said before is sent before.
  process.send?.({ kind: 'done' } satisfies FuzzReport, undefined, undefined, () => process.exit());
}

async function run({ target: name, seed, first, last, memory }: FuzzRequest, folder: string): Promise<void> {
  const target = await openTarget(name);
  const seeds = await target.seeds();
  const file = join(folder, `input${target.ending ?? ''}`);
  say({ kind: 'ready' });
  for (let number = first; number < last; number++) {
    const bytes = inputOf(target, seeds, number, seed);
    say({ kind: 'begin', number });
    writeFileSync(file, bytes);
    say({ kind: 'end', number, ...(await attempt(() => target.read(bytes, file), memory, target.longest)) });
  }
}

async function attempt(
  read: () => Promise<unknown>,
  memory: number,
  longest?: number,
): Promise<{ readonly outcome: 'read' | 'refused'; readonly wrong?: string }> {
  let outcome: 'read' | 'refused' = 'read';
  let wrong: string | undefined;
  try {
    await read();
  } catch (error) {
    outcome = 'refused';
    wrong = wrongRefusal(error, longest);
  }
  const held = process.resourceUsage().maxRSS * 1024;
  if (held > memory) wrong ??= `${Math.round(held / 2 ** 20)} MiB of memory`;
  return { outcome, ...(wrong !== undefined && { wrong }) };
}
