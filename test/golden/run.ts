/** `npm run golden -- DIR...`: every comparison of every fixture, one a line. Exit code 1 when any is missed or cannot be made. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openDevice } from '../../core/gpu/device.ts';
import { explainError } from '../../core/failure.ts';
import { formatError } from '../../core/errors.ts';
import { passes } from './comparison.ts';
import { formsOf, weightFiles } from './fixture.ts';
import { runFixture, type GroupResult } from './harness.ts';
import { runQwenFixture } from './qwen/harness.ts';

const folders = process.argv.slice(2);
if (folders.length === 0) {
  process.stderr.write(
    'usage: npm run golden -- DIR...   (each a folder with config.json, golden.json, golden.safetensors and weights)\n',
  );
  process.exit(2);
}

let missed = 0;
let made = 0;
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const fail = (text: string): void => {
  missed++;
  print(text);
};

function printResult({ rows, failure }: GroupResult): void {
  for (const row of rows) {
    const isMet = passes(row);
    made++;
    if (!isMet) missed++;
    print(
      `${row.name.padEnd(82)} ${row.error.toExponential(2).padStart(9)} ${row.tolerance.toExponential(0).padStart(6)}  ${isMet ? 'ok' : 'MISSED'}`,
    );
  }
  if (failure !== undefined) print(`  ${failure.replaceAll('\n', '\n  ')}`);
}

async function printed(title: string, run: () => Promise<void>): Promise<void> {
  print(`\n${title}\n${'comparison'.padEnd(82)} ${'error'.padStart(9)} ${'bound'.padStart(6)}`);
  try {
    await run();
  } catch (error) {
    fail(`MISSED: the fixture cannot be read\n  ${formatError(explainError(error)).replaceAll('\n', '\n  ')}`);
  }
}

/** By the class of its model; a folder that does not say is taken for the other one, whose reader says what is wrong. */
function isQwen(folder: string): boolean {
  return /"model_type"\s*:\s*"qwen/.test(readFileSync(join(folder, 'config.json'), 'utf8'));
}

const device = await openDevice();
print(`adapter: ${device.adapter.device}`);
for (const given of folders) {
  const folder = resolve(given);
  const absent = ['config.json', 'golden.json', 'golden.safetensors', weightFiles.huggingface].filter(
    (file) => !existsSync(join(folder, file)),
  );
  if (absent.length > 0) fail(`\n${given}: MISSED, there is no ${absent.join(', no ')}`);
  else if (isQwen(folder))
    await printed(`${given} (${weightFiles.huggingface})`, () => runQwenFixture(device, folder, printResult));
  else {
    for (const form of formsOf(folder))
      await printed(`${given} (${weightFiles[form]})`, () => runFixture(device, folder, form, printResult));
  }
}
device.close();
print(`\n${made} comparisons, ${missed} missed`);
process.exitCode = missed === 0 ? 0 : 1;
