import type { Preset } from '../contracts/preset.ts';
import { ProblemsError, ReasongenError } from '../errors.ts';
import { explainError } from '../failure.ts';
import { describePlan, formatBytes, refuseWhatCannotFit, totalBytes } from '../plan.ts';
import { withPlanner } from '../plan-stage.ts';
import { loadPreset, type Stage } from '../preset/load.ts';
import { type AdapterFacts, readAdapter, tryMemory } from './adapter.ts';
import type { CommandContext } from './context.ts';

/** `check PRESET`: every mistake at once; then what each stage will do and need, and whether the adapter allows it. */
export async function check(
  file: string,
  { write: print, log, settings, environment }: CommandContext,
  { json = false }: { readonly json?: boolean } = {},
): Promise<number> {
  const write = json ? () => {} : print;
  const checked: unknown[] = [];
  const loaded = await loadPreset(file, { settings, environment });
  const adapter = environment['REASONGEN_NO_DRIVER'] === '1' ? undefined : await readAdapter();
  const problems: ReasongenError[] = [];
  const facts = adapter ?? 'unknown';
  write(`${describeAdapter(facts)}\n`);
  for (const stage of loaded.stages) {
    write(`${stage.name}: every option is valid\n`);
    const waitsFor = unfinishedStage(stage.preset);
    if (waitsFor !== undefined) {
      write(`  what it needs is known once ${waitsFor} has run\n`);
      checked.push({ stage: stage.name, waitsFor });
      continue;
    }
    try {
      await withPlanner(loaded, stage, log, adapter, async (planner) => {
        const plan = await planner.plan();
        for (const line of describePlan(plan)) write(`  ${line}\n`);
        const { lines, bytes, largestBinding } = plan;
        checked.push({ stage: stage.name, lines, bytes, totalBytes: totalBytes(plan), largestBinding });
        if (adapter === undefined) return;
        const availableBytes = adapter.availableBytes ?? (await tryMemory(totalBytes(plan)));
        const room = { limits: adapter.limits, availableBytes };
        await refuseWhatCannotFit(plan, room, () => planner.findSmaller(room));
      });
    } catch (error) {
      problems.push(inStage(stage, explainError(error)));
    }
  }
  if (json) {
    const { description } = adapter ?? {};
    print(
      `${JSON.stringify({ ok: problems.length === 0, adapter: description ?? null, stages: checked }, undefined, 2)}\n`,
    );
  }
  if (problems.length === 1) throw problems[0];
  if (problems.length > 0) throw new ProblemsError(problems);
  return 0;
}

function describeAdapter(adapter: AdapterFacts | 'unknown'): string {
  if (adapter === 'unknown')
    return 'adapter: none is ready, so its limits are not checked; `reasongen doctor` tells more';
  const { description, limits, availableBytes } = adapter;
  const binding = formatBytes(Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize));
  const left = availableBytes === undefined ? '' : `, ${formatBytes(availableBytes)} of memory left`;
  return `adapter: ${description}; buffers up to ${binding}${left}`;
}

/** A component made from the product of an earlier stage does not exist yet. The recipe's own weights are not part of a plan. */
function unfinishedStage(preset: Preset): string | undefined {
  const options = Object.entries(preset.components)
    .filter(([slot]) => slot !== 'recipe')
    .flatMap(([, choices]) => choices.flatMap((choice) => Object.values(choice.options)));
  return options.find((value): value is string => typeof value === 'string' && value.startsWith('stage:'));
}

function inStage(stage: Stage, error: ReasongenError): ReasongenError {
  const { code, message, hint, exitCode, cause } = error;
  return new ReasongenError({ code, message, hint, exitCode, cause, place: error.place ?? `preset ${stage.name}` });
}
