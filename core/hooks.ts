import { AsyncSeriesHook, AsyncSeriesWaterfallHook, SyncWaterfallHook } from 'tapable';
import type { Extension, HookHandlers, HookName, HookOrder } from './contracts/hooks.ts';
import { ReasongenError } from './errors.ts';

/** The value a hook carries. */
type EventOf<Name extends HookName> = Parameters<HookHandlers[Name]>[0];

/** Firing a waterfall gives the event as the last handler left it; firing a series gives nothing. */
type Fired<Name extends HookName> = Name extends 'batch' | 'rewards'
  ? Promise<EventOf<Name>>
  : Name extends 'advantages'
    ? EventOf<Name>
    : Promise<void>;

/** The hooks of one run. Recipes fire them; only extensions tap them. */
export type Hooks = {
  readonly [Name in HookName]: (event: EventOf<Name>) => Fired<Name>;
} & {
  /** `extension › hook` of every handler that has been called and has not settled. */
  pending(): readonly string[];
};

type Kind = 'series' | 'waterfall' | 'sync waterfall';

/** Every hook with its kind and the sentence `describe` prints. The one list at run time. */
export const hookList: Readonly<Record<HookName, { readonly kind: Kind; readonly fires: string }>> = {
  start: { kind: 'series', fires: 'once, before the recipe starts' },
  batch: { kind: 'waterfall', fires: 'before the model sees a batch' },
  rollout: { kind: 'series', fires: 'when the samples of a step are decoded, not yet rewarded' },
  rewards: { kind: 'waterfall', fires: 'after scoring' },
  advantages: { kind: 'sync waterfall', fires: 'after grouping' },
  step: { kind: 'series', fires: 'when the numbers of a step are final' },
  evaluation: { kind: 'series', fires: 'when the numbers of a benchmark are final' },
  finish: { kind: 'series', fires: 'once, always, with the outcome' },
};

export interface NamedExtension {
  readonly name: string;
  readonly extension: Extension;
}

/** Taps every handler of every extension: early, normal, late, each in the given order. */
export function createHooks(extensions: readonly NamedExtension[]): Hooks {
  for (const { name, extension } of extensions) refuseUnknownHooks(name, extension);
  const running = new Set<symbol>();
  const taps = (hook: HookName): Tap[] => orderedTaps(hook, extensions, running);
  return {
    start: series<EventOf<'start'>>(taps('start')),
    finish: series<EventOf<'finish'>>(taps('finish')),
    batch: waterfall<EventOf<'batch'>>(taps('batch')),
    rollout: series<EventOf<'rollout'>>(taps('rollout')),
    rewards: waterfall<EventOf<'rewards'>>(taps('rewards')),
    advantages: syncWaterfall<EventOf<'advantages'>>(taps('advantages')),
    step: series<EventOf<'step'>>(taps('step')),
    evaluation: series<EventOf<'evaluation'>>(taps('evaluation')),
    pending: () => [...running].map((call) => call.description ?? ''),
  };
}

/** One handler, wrapped so that its errors name extension and hook. */
interface Tap {
  readonly name: string;
  readonly call: (event: unknown) => unknown;
}

function series<Event>(taps: readonly Tap[]): (event: Event) => Promise<void> {
  const hook = new AsyncSeriesHook<[Event]>(['event']);
  for (const { name, call } of taps) {
    hook.tapPromise(name, async (event) => {
      await call(event);
    });
  }
  return (event) => hook.promise(event);
}

function waterfall<Event>(taps: readonly Tap[]): (event: Event) => Promise<Event> {
  const hook = new AsyncSeriesWaterfallHook<[Event], Event>(['event']);
  // A waterfall handler returning `undefined` keeps the value; tapable's types leave that out.
  for (const { name, call } of taps) hook.tapPromise(name, async (event) => (await call(event)) as Event);
  return (event) => hook.promise(event);
}

function syncWaterfall<Event>(taps: readonly Tap[]): (event: Event) => Event {
  const hook = new SyncWaterfallHook<[Event], Event>(['event']);
  for (const { name, call } of taps) hook.tap(name, (event) => call(event) as Event);
  return (event) => hook.call(event);
}

const orders: readonly HookOrder[] = ['early', 'normal', 'late'];

function orderedTaps(hook: HookName, extensions: readonly NamedExtension[], running: Set<symbol>): Tap[] {
  const tapped = extensions.flatMap(({ name, extension }) => {
    const entry = extension[hook];
    if (entry === undefined) return [];
    const [order, handler] = typeof entry === 'function' ? (['normal', entry] as const) : [entry.order, entry.handler];
    // The table of hooks pairs each name with its own event; here the pairing is generic.
    return [{ order, tap: { name, call: blame(name, hook, handler as (event: unknown) => unknown, running) } }];
  });
  return orders.flatMap((order) => tapped.filter((each) => each.order === order).map((each) => each.tap));
}

function blame(
  extension: string,
  hook: HookName,
  handler: (event: unknown) => unknown,
  running: Set<symbol>,
): (event: unknown) => unknown {
  const place = `extension "${extension}", hook "${hook}"`;
  const failure = (cause: unknown): ReasongenError =>
    new ReasongenError({
      code: 'HOOK_FAILED',
      message: cause instanceof Error ? cause.message : String(cause),
      place,
      // A guard that stops a run says so with its own exit code.
      ...(cause instanceof ReasongenError && { exitCode: cause.exitCode, hint: cause.hint }),
      cause,
    });
  return (event) => {
    const call = Symbol(place);
    let result: unknown;
    try {
      result = handler(event);
    } catch (cause) {
      throw failure(cause);
    }
    if (!(result instanceof Promise)) return result;
    if (hookList[hook].kind === 'sync waterfall') {
      result.catch(() => {}); // The error below is about the same call.
      throw failure(new Error('the handler returned a promise, but this hook is synchronous'));
    }
    running.add(call);
    return result.then(
      (value: unknown) => {
        running.delete(call);
        return value;
      },
      (cause: unknown) => {
        running.delete(call);
        throw failure(cause);
      },
    );
  };
}

function refuseUnknownHooks(name: string, extension: Extension): void {
  for (const hook of Object.keys(extension)) {
    if (Object.hasOwn(hookList, hook)) continue;
    throw new ReasongenError({
      code: 'UNKNOWN_HOOK',
      message: `there is no hook "${hook}"`,
      place: `extension "${name}"`,
      hint: `tap one of: ${Object.keys(hookList).join(', ')}`,
    });
  }
}
