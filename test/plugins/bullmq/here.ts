/** A worker in the process of a test: what `reasongen worker` does, without a program of its own. */
import { createContainer } from '../../../core/container.ts';
import type { DrawService, WorkKind } from '../../../core/contracts/executor.ts';
import { openOffer } from '../../../core/commands/worker-offer.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { type Log, silentLog } from '../../../core/log.ts';
import { loadPreset } from '../../../core/preset/load.ts';

export interface WorkerHere {
  /** What it has said. */
  readonly lines: readonly string[];
  /** Settles when it has ended; rejects with what ended it. */
  readonly ended: Promise<void>;
  /** Tells it to end; settles as `ended`. */
  end(): Promise<void>;
}

/** `alter`: what it does to what it draws; `adapter`: what it says it draws on; `alterAnswer`: what it does to what it answers. */
export async function workHere(
  preset: string,
  settings: readonly string[],
  alter: (draw: DrawService['draw']) => DrawService['draw'] = (draw) => draw,
  kinds: readonly WorkKind[] = ['draw', 'judge', 'evaluate'],
  adapter?: string,
  alterAnswer: (answer: unknown) => unknown = (answer) => answer,
): Promise<WorkerHere> {
  const { catalog, stages } = await loadPreset(preset, { settings });
  const [stage] = stages;
  if (stage === undefined) throw new RangeError('unreachable: a preset has a stage');
  const lines: string[] = [];
  let serves = (): void => {};
  const isServing = new Promise<void>((resolve) => (serves = resolve));
  const say = (line: string): void => {
    lines.push(line);
    if (line.includes('serves')) serves();
  };
  const log: Log = { ...silentLog(), info: say, warn: say };
  const container = createContainer(catalog.plugins).openRun({ preset: stage.preset, log, openDevice, isWorker: true });
  const told = new AbortController();
  const { offer, close } = await openOffer(stage.preset, container, kinds);
  const { draw: service } = offer;
  const executor = await container.get('executor');
  const altered = service && {
    draw: {
      ...service,
      identity: { ...service.identity, ...(adapter !== undefined && { adapter }) },
      draw: alter((...asked) => service.draw(...asked)),
    },
  };
  const answers = offer.answers.map((each) => ({
    ...each,
    answer: async (...asked: Parameters<typeof each.answer>) => alterAnswer(await each.answer(...asked)),
  }));
  const work = async (): Promise<void> => {
    try {
      await executor.serve?.({ ...altered, answers }, 'not looked at', told.signal);
    } finally {
      await close();
      await container.dispose();
    }
  };
  const working = work();
  working.catch(() => undefined);
  await Promise.race([isServing, working]);
  return {
    lines,
    ended: working,
    end: () => {
      told.abort();
      return working;
    },
  };
}
