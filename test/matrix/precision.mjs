#!/usr/bin/env node
// Training in each precision on Mesa 26's lavapipe, which has cooperative matrices: SFT from fresh weights and GRPO from those that come with
// reasongen (4 prompts of 8 drawings a step), the same seeds and data, step by step in one table. Slow: these matrices are executed by a
// processor.
//   node test/matrix/precision.mjs [STEPS] [sft|grpo]
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/setup/cache.mjs';
import { exitWith, SetupError } from '../../core/setup/failure.mjs';
import { launch } from '../../core/setup/launch.mjs';
import { matrixRoot } from './root.mjs';

const steps = Number(process.argv[2] ?? 20);
const precisions = ['f32', 'f16', 'f32-split'];
const runs = /** @type {const} */ ({
  sft: ['presets/nano/sft.yaml', 'loss', 'gradientNorm', 'operands/lost'],
  grpo: ['presets/nano/grpo.yaml', 'reward', 'gradientNorm', 'ratioDifference', 'operands/lost'],
});

/** @param {string} directory */
const metricsOf = (directory) =>
  readFileSync(join(directory, 'metrics.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => /** @type {Record<string, number>} */ (JSON.parse(line)));

/** @param {number | undefined} value */
const shown = (value) => (value === undefined ? '–' : value.toPrecision(4));

await exitWith(async () => {
  const chosen = Object.entries(runs).filter(([name]) => name === (process.argv[3] ?? name));
  if (!(Number.isInteger(steps) && steps > 0) || chosen.length === 0) {
    throw new SetupError({
      code: 'USAGE',
      message: `${process.argv.slice(2).join(' ')}: a number of steps is wanted, and one of ${Object.keys(runs).join(', ')} or nothing for both`,
      hint: 'npm run verify:precision -- 20 grpo',
    });
  }
  const { node, version, env } = await matrixRoot({ report: (line) => void process.stderr.write(`${line}\n`) });
  const folder = mkdtempSync(join(tmpdir(), 'precision-'));
  process.stdout.write(`${steps} steps, seed 0, lavapipe of Mesa ${version}; runs are kept in ${folder}\n`);
  for (const [name, [preset, ...metrics]] of chosen) {
    for (const precision of precisions) {
      const settings = [
        `precision=${precision}`,
        `steps=${steps}`,
        ...(name === 'grpo' ? ['evaluations=0', 'prompts=4'] : []),
      ];
      const args = ['run', preset, '--run-dir', join(folder, `${name}-${precision}`)];
      const cli = ['--import', 'tsx', join(packageRoot, 'core', 'cli.ts')];
      const code = await launch(node, [...cli, ...args, ...settings.flatMap((each) => ['--set', each])], {
        cwd: packageRoot,
        env,
      });
      if (code !== 0) return code;
    }
    const all = precisions.map((precision) => metricsOf(join(folder, `${name}-${precision}`)));
    for (const metric of metrics) {
      process.stdout.write(`\n| ${name}: ${metric} | ${precisions.join(' | ')} |\n|${'---|'.repeat(4)}\n`);
      for (let step = 0; step < steps; step++)
        process.stdout.write(`| ${step + 1} | ${all.map((rows) => shown(rows[step]?.[metric])).join(' | ')} |\n`);
    }
  }
  return 0;
});
