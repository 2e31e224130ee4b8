/**
 * Kills training runs at random moments, resumes them, and compares the end with that of a run nobody disturbed: metrics, weights,
 * optimizer and state, bit for bit. `npm run soak -- [KILLS] [SEED]`: 100 kills with seed 1 unless told. Exit code 1 at the first
 * difference; the run is then left for inspection.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const kills = Number(process.argv[2] ?? 100);
const seed = Number(process.argv[3] ?? 1);
const folder = mkdtempSync(join(tmpdir(), 'reasongen-soak-'));

const head = `extends: ${join(root, 'test/support/tiny.yaml')}\n`;
const adamw = 'optimizer: { use: adamw, learningRate: 2e-3 }\n';
const presets: Readonly<Record<string, string>> = {
  sft: `${head}optimizer: { use: adamw-8bit, learningRate: 2e-3 }\nrecipe: { use: sft, steps: 24, batch: 12, microBatch: 5, examples: 20, schedule: cosine, warmup: 2, saveEvery: 1, keepEvery: 7, ema: { decay: 0.5 } }\n`,
  grpo: `${head}${adamw}rewards: [is-color]\nrecipe: { use: grpo, steps: 10, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 1, evaluations: 8, evaluateEvery: 4, imageEntropy: { target: 1 } }\n`,
  lora: `${head}${adamw}recipe: { use: sft, steps: 24, batch: 12, examples: 20, saveEvery: 1, weights: ${join(folder, 'sft')}, lora: { rank: 4, dropout: 0.1 }, ema: { decay: 0.5 } }\n`,
};

/** A small generator of its own: the same seed kills at the same moments. */
let state = seed >>> 0;
function random(): number {
  state = (state + 0x9e3779b9) >>> 0;
  let z = state;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
}

/** Runs the program; kills it after so many milliseconds. Resolves with the exit code, or null when it was killed. */
function reasongen(
  args: readonly string[],
  killAfter = Number.POSITIVE_INFINITY,
): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const timer = Number.isFinite(killAfter) ? setTimeout(() => child.kill('SIGKILL'), killAfter) : undefined;
  return new Promise((resolve) => child.on('close', (code) => (clearTimeout(timer), resolve({ code, said }))));
}

function fail(message: string): never {
  process.stderr.write(`${message}\nleft for inspection: ${folder}\n`);
  process.exit(1);
}

/** Metrics without what a clock decides, and every file of the newest checkpoint. */
function outcome(directory: string): Map<string, string> {
  const lines = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n');
  const metrics = lines.map((line) =>
    JSON.stringify(Object.entries(JSON.parse(line) as object).filter(([name]) => !/second/i.test(name))),
  );
  const newest =
    readdirSync(join(directory, 'checkpoints'))
      .filter((name) => name.startsWith('step-'))
      .sort()
      .at(-1) ?? '';
  const checkpoint = join(directory, 'checkpoints', newest);
  const { metrics: _position, ...kept } = JSON.parse(readFileSync(join(checkpoint, 'state.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const { files } = JSON.parse(readFileSync(join(checkpoint, 'manifest.json'), 'utf8')) as {
    files: Record<string, { sha256: string }>;
  };
  const tensors = Object.entries(files).filter(([name]) => name.endsWith('.safetensors'));
  return new Map([
    ['metrics', metrics.join('\n')],
    ['state', JSON.stringify(kept)],
    ...tensors.map(([name, { sha256 }]) => [name, sha256] as const),
  ]);
}

let done = 0;
const started = performance.now();
for (const [name, text] of Object.entries(presets)) writeFileSync(join(folder, `${name}.yaml`), text);
const references = new Map<string, { readonly outcome: Map<string, string>; readonly duration: number }>();
/** Kills fall into this part of an undisturbed run: late ones seldom meet a run that still goes on. */
const early = 0.9;
/** A run that has been killed so often is let go to its end, so that every recipe gets its share. */
const killsPerRun = 12;
for (const name of Object.keys(presets)) {
  const begun = performance.now();
  const { code, said } = await reasongen(['run', join(folder, `${name}.yaml`), '--run-dir', join(folder, name)]);
  if (code !== 0) fail(`${name} fails without any kill:\n${said}`);
  references.set(name, { outcome: outcome(join(folder, name)), duration: performance.now() - begun });
}

const counts: Record<string, number> = {};
for (let round = 0; done < kills; round++) {
  // Whichever has been killed least so far.
  const name = Object.keys(presets).toSorted((one, other) => (counts[one] ?? 0) - (counts[other] ?? 0))[0] ?? '';
  const reference = references.get(name);
  if (reference === undefined) fail(`no reference for ${name}`);
  const directory = join(folder, `${name}-${round}`);
  mkdirSync(directory);
  let killed = 0;
  for (let isDone = false; !isDone;) {
    const args = existsSync(join(directory, 'preset.yaml'))
      ? ['resume', directory]
      : ['run', join(folder, `${name}.yaml`), '--run-dir', directory];
    const { code, said } = await reasongen(
      args,
      done < kills && killed < killsPerRun ? random() * early * reference.duration : undefined,
    );
    if (code === null) {
      done += 1;
      killed += 1;
    } else if (code === 0) isDone = true;
    // Killed after its last words, before it could exit: the next resume finds a finished run.
    else if (code === 7 && said.includes('NOTHING_TO_TRAIN') && killed > 0) isDone = true;
    else fail(`${name} ended with ${code} after ${killed} kills:\n${said}`);
  }
  const mine = outcome(directory);
  for (const [what, expected] of reference.outcome)
    if (mine.get(what) !== expected)
      fail(`${directory}: after ${killed} kills ${what} differs from the undisturbed run`);
  counts[name] = (counts[name] ?? 0) + killed;
  process.stdout.write(`${name}: ${killed} kills, the same to the bit (${done} of ${kills})\n`);
  rmSync(directory, { recursive: true });
}
process.stdout.write(
  `${JSON.stringify({ kills: done, seed, byRecipe: counts, seconds: Math.round((performance.now() - started) / 1000) })}\n`,
);
rmSync(folder, { recursive: true });
