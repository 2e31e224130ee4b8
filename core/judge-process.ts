/** The process of a judge: a published model on a device of its own, asked by the run that began it, which ends it. */
import { openPublished } from './published-model.ts';
import type { Scope } from './contracts/slots.ts';
import { explainError } from './failure.ts';
import type { Device } from './gpu/device.ts';
import { silentLog } from './log.ts';
import { LookingModel } from './models/looking-model.ts';
import type { LookerReply, LookerRequest, LookerSetup } from './models/looker-process.ts';
import { loadCatalogOf } from './preset/load.ts';
import { openTunedDevice } from './tune.ts';

type Asked = Exclude<LookerRequest, { kind: 'left' }>;

// A key pressed in a terminal reaches all processes there: the one that asks decides when this one ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.once('disconnect', () => process.exit(0));

listen();

function listen(): void {
  let looker: LookingModel | undefined;
  /** Whoever asks may be gone before it is answered. */
  const askers = new Map<number, AbortController>();
  const answer = async (request: Asked, signal: AbortSignal): Promise<unknown> => {
    if (request.kind === 'open') {
      looker = await open(request.setup);
      return looker.reserve();
    }
    if (looker === undefined) throw new RangeError('asked before it was opened');
    return request.kind === 'write'
      ? looker.write(request.question, signal)
      : looker.probabilities(request.question, signal);
  };
  const reply = async (request: Asked): Promise<void> => {
    const { id } = request;
    const asker = new AbortController();
    askers.set(id, asker);
    try {
      send({ id, value: await answer(request, asker.signal) });
    } catch (error) {
      const { code, message, place, hint, exitCode } = explainError(error);
      send({ id, error: { code, message, place, hint, exitCode } });
    } finally {
      askers.delete(id);
    }
  };
  process.on('message', (request: LookerRequest) => {
    if (request.kind === 'left') askers.get(request.id)?.abort();
    else void reply(request);
  });
}

function send(said: LookerReply): void {
  process.send?.(said);
}

async function open({ choice, pictures, seed }: LookerSetup): Promise<LookingModel> {
  const { plugins } = await loadCatalogOf([]);
  const device = await openTunedDevice();
  const scope = aloneScope(device, seed);
  return new LookingModel(
    { ...scope, published: (folder, options = {}) => openPublished(folder, options, plugins, scope) },
    choice,
    () => openPublished(choice.model, pictures, plugins, scope),
  );
}

/** Of a component without a run: it has a device, and nothing else is there. What it makes goes with the process. */
function aloneScope(device: Device, seed: number): Omit<Scope, 'published'> {
  const nothing = (): never => {
    throw new RangeError('unreachable: a judge in a process of its own has no run');
  };
  return {
    log: { ...silentLog(), warn: (warning) => send({ warning }) },
    seed,
    calls: { run: (work, signal) => work(signal), spend: () => undefined },
    path: (relative) => relative,
    get: nothing,
    getAll: async () => [],
    model: async () => nothing(),
    onDispose: () => undefined,
    onDevice: (make) => {
      let made: Promise<Awaited<ReturnType<typeof make>>> | undefined;
      return () => (made ??= Promise.resolve(make(device)) as NonNullable<typeof made>);
    },
  };
}
