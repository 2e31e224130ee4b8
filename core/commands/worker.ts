import type { WorkKind } from '../contracts/executor.ts';
import { exitCodes, PresetError, ReasongenError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { deviceSuite } from '../testing/device-suite.ts';
import { openTunedDevice } from '../tune.ts';
import type { CommandContext } from './context.ts';
import { noQueue, openExecutorOf } from './executor-of.ts';
import { openOffer } from './worker-offer.ts';

export interface WorkerOptions {
  /** All that the preset leaves to workers unless told. */
  readonly for?: readonly WorkKind[];
}

/** `worker PRESET`: this machine draws and judges for runs of the preset until it is told to end. The weights come from the runs. */
export async function worker(file: string, options: WorkerOptions, context: CommandContext): Promise<number> {
  const { stop } = context;
  const { preset, container, executor } = await openExecutorOf(file, context, openTunedDevice, { isWorker: true });
  try {
    if (executor.serve === undefined) throw noQueue(file, 'names an executor that has no workers');
    const kinds = options.for ?? ['draw', 'judge', 'evaluate'];
    const { offer, close } = await openOffer(preset, container, kinds);
    const told = new AbortController();
    const endHearing = stop.heard(() => told.abort());
    try {
      for (const kind of options.for ?? [])
        if (kind !== 'draw' && !offer.answers.some(({ identity }) => identity.kind === kind))
          throw nothingToDo(file, kind);
      const check = offer.draw === undefined ? 'it does not draw' : await selfCheck(await container.device());
      await executor.serve(offer, check, told.signal);
    } finally {
      endHearing();
      await close();
    }
    return exitCodes.done;
  } finally {
    await container.dispose();
  }
}

/** One case of each op of `verify-device`, as this adapter takes it. Throws WRONG_RESULTS, naming the ops. */
async function selfCheck(device: Device): Promise<string> {
  const cases = new Map(deviceSuite.toReversed().map((each) => [each.op, each]));
  const wrong: string[] = [];
  for (const { op, form, run } of cases.values()) {
    try {
      await run(device);
    } catch {
      wrong.push(`${op} (${form})`);
    }
  }
  if (wrong.length === 0) return `${cases.size} ops right`;
  throw new ReasongenError({
    code: 'WRONG_RESULTS',
    message: `this adapter computes other numbers than the program means: ${wrong.join(', ')}`,
    place: device.adapter.description,
    hint: 'npx reasongen verify-device says more; update its driver, or choose another adapter (npx reasongen doctor)',
    exitCode: exitCodes.failure,
  });
}

function nothingToDo(file: string, kind: WorkKind): PresetError {
  const slots = kind === 'judge' ? 'reward or judge' : 'benchmark';
  return new PresetError({
    code: 'NOTHING_TO_ASK',
    message: `the preset leaves no ${slots} to workers`,
    place: file,
    hint: `write byWorkers: true at the ${slots}, for the trainer and its workers alike`,
  });
}
