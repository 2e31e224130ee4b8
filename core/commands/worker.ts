import { openDrawService } from '../drawing/service.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import type { Device } from '../gpu/device.ts';
import { deviceSuite } from '../testing/device-suite.ts';
import { openTunedDevice } from '../tune.ts';
import type { CommandContext } from './context.ts';
import { noQueue, openExecutorOf } from './executor-of.ts';

/** `worker PRESET`: this machine draws for runs of the preset until it is told to end. The weights come from the runs. */
export async function worker(file: string, context: CommandContext): Promise<number> {
  const { stop } = context;
  const { container, executor } = await openExecutorOf(file, context, openTunedDevice);
  try {
    if (executor.serve === undefined) throw noQueue(file, 'names an executor that has no workers');
    const backbone = await container.get('backbone');
    const tokenizer = await container.get('tokenizer');
    const device = await container.device();
    const check = await selfCheck(device);
    const told = new AbortController();
    const endHearing = stop.heard(() => told.abort());
    const service = openDrawService(device, backbone, tokenizer);
    try {
      await executor.serve(service, check, told.signal);
    } finally {
      endHearing();
      await service.close();
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
