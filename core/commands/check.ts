import { readCluster, type Cluster } from '../cluster/cluster-file.ts';
import { isSimulated } from '../cluster/workload.ts';
import type { Preset } from '../contracts/preset.ts';
import { errorRecord, ProblemsError, problemsOf, ReasongenError } from '../errors.ts';
import { explainError } from '../failure.ts';
import { describePlaces, describePlan, formatBytes, refuseWhatCannotFit, totalBytes } from '../plan.ts';
import { knownAdapters } from '../gpu/known-adapters.ts';
import { unknownAdapter, withPlanner } from '../plan-stage.ts';
import { loadPreset, type LoadedPreset, type Stage } from '../preset/load.ts';
import { type AdapterFacts, readAdapter, tryMemory } from './adapter.ts';
import { describeForecast, forecast } from './check-cluster.ts';
import type { CommandContext } from './context.ts';

export interface CheckOptions {
  readonly json?: boolean;
  /** A card of `knownAdapters` that the plan is for, instead of this machine's adapter. */
  readonly adapter?: string;
  /** How many processes share the work: the plan is then that of one of them. */
  readonly ranks?: number;
  /** A file that says what a cluster is: how long steps take on it. */
  readonly cluster?: string;
}

/** `check PRESET`: every mistake at once; then what each stage will do and need, and whether the adapter allows it. */
export async function check(
  file: string,
  context: CommandContext,
  { json = false, adapter: card, ranks, cluster: clusterFile }: CheckOptions = {},
): Promise<number> {
  const { write, settings, environment } = context;
  const found: Findings = { ranks, stages: [], problems: [] };
  try {
    if (clusterFile !== undefined) found.cluster = readCluster(clusterFile, environment);
    const loaded = await loadPreset(file, { settings, environment });
    if (card !== undefined) {
      found.adapter = cardFacts(card);
      found.sources = knownAdapters.get(card)?.sources;
    }
    if (card === undefined && environment['REASONGEN_NO_DRIVER'] !== '1') found.adapter = await readAdapter();
    await checkStages(loaded, found, { ...context, write: json ? () => {} : write });
  } catch (error) {
    const explained = explainError(error);
    found.problems.push(...problemsOf(explained));
  }
  const { adapter, stages, problems } = found;
  if (json) {
    const result = { ok: problems.length === 0, adapter: adapter?.description ?? null, stages };
    write(`${JSON.stringify({ ...result, errors: problems.map(errorRecord) }, undefined, 2)}\n`);
  }
  if (problems.length === 1) throw problems[0];
  if (problems.length > 0) throw new ProblemsError(problems);
  return 0;
}

interface Findings {
  adapter?: AdapterFacts | undefined;
  /** Of what is known of a card that is not here. */
  sources?: readonly string[] | undefined;
  cluster?: Cluster;
  readonly ranks: number | undefined;
  readonly stages: unknown[];
  readonly problems: ReasongenError[];
}

async function checkStages(
  loaded: LoadedPreset,
  { adapter, sources = [], cluster, ranks, stages, problems }: Findings,
  { write, log }: Pick<CommandContext, 'write' | 'log'>,
): Promise<void> {
  write(`${describeAdapter(adapter ?? 'unknown')}\n`);
  for (const source of sources) write(`  known: ${source}\n`);
  for (const stage of loaded.stages) {
    write(`${stage.name}: every option is valid\n`);
    const waitsFor = unfinishedStage(stage.preset);
    if (waitsFor !== undefined) {
      write(`  what it needs is known once ${waitsFor} has run\n`);
      stages.push({ stage: stage.name, waitsFor });
      continue;
    }
    try {
      const target = { ...(adapter ?? unknownAdapter()), ...(ranks !== undefined && { ranks }) };
      await withPlanner(loaded, stage, log, target, async (planner) => {
        const plan = await planner.plan();
        if (ranks !== undefined) write(`  each of ${ranks} ranks:\n`);
        for (const line of describePlan(plan)) write(`  ${line}\n`);
        const { lines, bytes, largestBinding, inParts = [] } = plan;
        // Of a chain only some stages may be of a kind whose schedule is known.
        const isPassedOver = loaded.isChain && !isSimulated(stage.preset);
        const expected = isPassedOver ? undefined : cluster && (await forecast(loaded, stage, cluster, log));
        if (cluster !== undefined && expected !== undefined)
          for (const line of describeForecast(cluster, expected)) write(`  ${line}\n`);
        const forecasted = expected && { cluster: { alone: expected.alone, predictions: expected.predictions } };
        const availableBytes = adapter && (adapter.availableBytes ?? (await tryMemory(totalBytes(plan))));
        const room = adapter && { limits: adapter.limits, availableBytes };
        const placed = await planner.places();
        for (const { key, chosen, plans } of placed) write(`  ${describePlaces(key, chosen, plans, room)}\n`);
        const places = placed.map(({ key, chosen, plans }) => ({
          of: key,
          chosen,
          totalBytes: Object.fromEntries(Object.entries(plans).map(([place, each]) => [place, totalBytes(each)])),
        }));
        stages.push({
          stage: stage.name,
          ...(ranks !== undefined && { ranks }),
          ...{ lines, bytes, totalBytes: totalBytes(plan), largestBinding, inParts },
          ...(places.length > 0 && { places }),
          ...forecasted,
        });
        if (room === undefined) return;
        await refuseWhatCannotFit(plan, room, () => planner.findSmaller(room));
      });
    } catch (error) {
      problems.push(inStage(stage, explainError(error)));
    }
  }
}

/** What a run would find on a card that another machine has. */
function cardFacts(name: string): AdapterFacts {
  const known = knownAdapters.get(name);
  if (known === undefined) throw new RangeError(`unreachable: the command line knows no card ${name}`);
  const { title, limits, report, availableBytes } = known;
  return {
    description: `${title}, by what is known of it`,
    isSoftware: false,
    features: report.features,
    limits,
    report,
    availableBytes,
  };
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
