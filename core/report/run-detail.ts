/** Everything about a run but its numbers and drawings, from its files. */
import { join } from 'node:path';
import { shellWord } from '../errors.ts';
import { readEntries } from '../io/checkpoint-folder.ts';
import { present, text } from '../io/record-fields.ts';
import { readTextWithin } from '../io/record-file.ts';
import { presetOriginsFile, sampleSteps, type RunRecord, type SampleRecord } from '../io/records.ts';
import type { PresetLine, RunDetail, Warning } from '../page/answers.ts';
import { chartPlans } from './curves.ts';

/** Throws BAD_RECORD for a file that lies in another place. */
export async function detailOf(
  directory: string,
  record: RunRecord,
  warnings: readonly Warning[],
): Promise<Omit<RunDetail, 'summary'>> {
  const preset = text(await readTextWithin(directory, 'preset.yaml'), 1e6) ?? '';
  const origins = text(await readTextWithin(directory, presetOriginsFile), 1e6) ?? '';
  const checkpoints = await readEntries(join(directory, 'checkpoints'));
  return {
    sessions: record.sessions.map((session) => ({ ...session, command: session.command.map(shellWord).join(' ') })),
    versions: record.versions,
    device: record.adapter,
    seeds: record.seeds,
    memory: record.memory ?? {},
    hashes: record.hashes,
    ...(record.commit !== undefined && { commit: record.commit }),
    preset: presetLines(preset, origins),
    warnings: [...warnings],
    checkpoints: checkpoints.map(({ step }) => step),
    sampleSteps: await sampleSteps(directory),
    targets: targetsOf(preset),
    charts: chartPlans,
  };
}

/**
 * Every line of the resolved preset with where its value came from. `origins` is the preset as the run began with it, each value followed by
 * its origin; what reads otherwise there was set when the run was resumed.
 */
function presetLines(preset: string, origins: string): PresetLine[] {
  const known = new Map(pathsOf(origins).map(({ path, text: line, origin }) => [path, { line, origin }]));
  return pathsOf(preset).map(({ path, text: line }) => {
    const begun = known.get(path);
    if (origins === '' || !/:\s/.test(line)) return { text: line };
    if (begun?.line === line) return { text: line, ...(begun.origin !== '' && { origin: begun.origin }) };
    return { text: line, origin: 'set when the run was resumed' };
  });
}

/** Lines with the path of the keys that lead to them; a text of several lines belongs to its key. */
function pathsOf(yaml: string): { readonly path: string; readonly text: string; readonly origin: string }[] {
  const open: { readonly indent: number; readonly key: string }[] = [];
  const count = new Map<string, number>();
  return yaml
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      // `print` of preset/show.ts sets two spaces and a number sign before an origin; a value that holds them stands in quotes.
      const [, said = line, origin = ''] = /^(.*?\S)\s+# (.*)$/.exec(line) ?? [];
      const indent = /^[\s-]*/.exec(line)?.[0].length ?? 0;
      while ((open.at(-1)?.indent ?? -1) >= indent) open.pop();
      open.push({ indent, key: /^[\s-]*([^:]*)/.exec(line)?.[1] ?? '' });
      const keys = open.map(({ key }) => key).join('/');
      const nth = (count.get(keys) ?? 0) + 1;
      count.set(keys, nth);
      return { path: `${keys}#${nth}`, text: said, origin };
    });
}

/** Entropies that the recipe's controllers hold, by the metric. */
function targetsOf(preset: string): Record<string, number> {
  const targets: Record<string, number> = {};
  for (const kind of ['text', 'image']) {
    const value = new RegExp(`^ {2}${kind}Entropy:\\n(?: {4}.*\\n)*? {4}target: (\\S+)`, 'm').exec(preset)?.[1];
    if (value !== undefined && Number.isFinite(Number(value))) targets[`${kind}/entropy`] = Number(value);
  }
  return targets;
}

/** A drawing without what no page shows. */
export function shownOf(sample: SampleRecord): Omit<SampleRecord, 'codes' | 'image'> {
  const { prompt, task, rationale, scores, total, advantage, seed, id, rationaleEnded, tokens } = sample;
  return {
    ...{ prompt, task, rationale, scores, total },
    ...present({ advantage, seed, id, rationaleEnded, tokens }),
  };
}
