/**
 * The table of presets/clusters/README.md: what `check --cluster` says of GRPO of Janus-Pro-7B. Only the sizes of the model are needed, and no network.
 *   npm run docs:clusters
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCluster } from '../../core/cluster/cluster-file.ts';
import { forecast, forecastHead, forecastRow } from '../../core/commands/check-cluster.ts';
import { silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { makeHubShells } from '../support/hub-shells.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const clusterPage = join(root, 'presets/clusters/README.md');
export const clusterMark = '<!-- cluster-table -->\n\n';

const finer = ['recipe.promptsAtOnce=1'];
const larger = [...finer, 'recipe.prompts=256'];
/** Title, preset and cluster, settings, and whether one device trains and all others serve a queue. */
const cases: readonly (readonly [title: string, lora: boolean, settings: readonly string[], isQueue: boolean])[] = [
  ['adapters, as published: 8 jobs of 32', true, [], false],
  ['adapters, 32 jobs of 8', true, finer, false],
  ['the same, one trainer and workers', true, finer, true],
  ['adapters, 256 prompts, 256 jobs of 8', true, larger, false],
  ['all weights, 32 jobs of 8', false, finer, false],
  ['the same, one trainer and workers', false, finer, true],
  ['all weights, 256 prompts, 256 jobs of 8', false, larger, false],
];

/** In Markdown. */
export async function clusterTable(): Promise<string> {
  const before = process.env['HF_HUB_CACHE'];
  const cache = mkdtempSync(join(tmpdir(), 'reasongen-'));
  makeHubShells(cache);
  process.env['HF_HUB_CACHE'] = cache;
  try {
    const head = ['GRPO of', ...forecastHead];
    const rows = [head, head.map(() => '---')];
    for (const [title, lora, settings, isQueue] of cases) {
      const preset = join(root, `presets/janus-pro-7b/${lora ? 'grpo-lora' : 'grpo'}.yaml`);
      const codec = ['imageTokenizer.checkpoint=null', 'imageTokenizer.weights=random'];
      const loaded = await loadPreset(preset, { settings: [...codec, ...settings] });
      const [stage] = loaded.stages;
      if (stage === undefined) throw new RangeError('unreachable: a preset has a stage');
      const file = readCluster(join(root, `presets/clusters/janus-pro-7b${lora ? '-lora' : ''}.yaml`));
      const cluster = isQueue ? { ...file, trainers: 1 } : file;
      const { predictions, alone } = await forecast(loaded, stage, cluster, silentLog());
      for (const prediction of predictions) rows.push([title, ...forecastRow(cluster, prediction, alone.seconds)]);
    }
    return `${rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
  } finally {
    if (before === undefined) delete process.env['HF_HUB_CACHE'];
    else process.env['HF_HUB_CACHE'] = before;
    rmSync(cache, { recursive: true });
  }
}

/** The page with this table in place of the one it has. */
export function withTable(page: string, table: string): string {
  const [head, rest] = page.split(clusterMark);
  if (head === undefined || rest === undefined) throw new Error('the page has no mark of its table');
  return `${head}${clusterMark}${table}${rest.slice(rest.search(/^(?!\|)/m))}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(clusterPage, withTable(readFileSync(clusterPage, 'utf8'), await clusterTable()));
