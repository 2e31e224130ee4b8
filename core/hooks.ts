import { AsyncSeriesHook, AsyncSeriesWaterfallHook, SyncWaterfallHook } from 'tapable';
import type { Extension, HookHandlers, HookName, HookOrder } from './contracts/hooks.ts';
import { blamePlace } from './blame.ts';
import { ReasongenError } from './errors.ts';
import { StrayError } from './stray.ts';
import { unlessStray } from './waiting.ts';
import { frozenCopy, frozenHint } from './frozen.ts';
import { badResult, checkAdvantages, checkBatch, checkJudgements, type ResultFault } from './hook-results.ts';

/** The value a hook carries. */
type EventOf<Name extends HookName> = Parameters<HookHandlers[Name]>[0];

/** Firing a waterfall gives the event as the last handler left it; firing a series gives nothing. */
type Fired<Name extends HookName> =
  void extends Awaited<ReturnType<HookHandlers[Name]>>
    ? Promise<void>
    : Promise<undefined> extends ReturnType<HookHandlers[Name]>
      ? Promise<EventOf<Name>>
      : EventOf<Name>;

/** The hooks of one run. Recipes fire them; only extensions tap them. */
export type Hooks = {
  readonly [Name in HookName]: (event: EventOf<Name>) => Fired<Name>;
} & {
  /** `extension › hook` of every handler that has been called and has not settled. */
  pending(): readonly string[];
};

type Kind = 'series' | 'waterfall' | 'sync waterfall';

interface HookDeclaration<Event> {
  readonly kind: Kind;
  /** The sentence `describe` prints. */
  readonly fires: string;
  /** Of a waterfall: the fields a handler may replace; what it does to others counts for nothing. */
  readonly returns?: readonly (keyof Event & string)[];
  /** Of a waterfall: why what came back cannot be used. */
  readonly check?: (before: Event, after: Event, place: string) => ResultFault;
}

/** Every hook with its kind. The one list at run time; the compiler holds it to `HookHandlers`. */
export const hookList: { readonly [Name in HookName]: HookDeclaration<EventOf<Name>> } = {
  start: { kind: 'series', fires: 'once, before the recipe starts' },
  batch: { kind: 'waterfall', fires: 'before the model sees a batch', returns: ['items'], check: checkBatch },
  rollout: { kind: 'series', fires: 'when the samples of a step are decoded, not yet rewarded' },
  rewards: { kind: 'waterfall', fires: 'after scoring', returns: ['judgements'], check: checkJudgements },
  advantages: {
    kind: 'sync waterfall',
    fires: 'after grouping',
    returns: ['advantages', 'tokenWeights'],
    check: checkAdvantages,
  },
  step: { kind: 'series', fires: 'when the numbers of a step are final' },
  evaluation: { kind: 'series', fires: 'when the numbers of a benchmark are final' },
  finish: { kind: 'series', fires: 'once, always, with the outcome' },
  sync: { kind: 'series', fires: 'outside of a run, by `reasongen sync`: send what could not be sent' },
};

export interface NamedExtension {
  readonly name: string;
  readonly extension: Extension;
  /** The plugin that provides it. */
  readonly plugin?: string;
  /** What a failure of a handler that only looks means; one that replaces values always ends the run. */
  readonly onError?: 'fail' | 'warn';
}

/** Taps every handler of every extension: early, normal, late, each in the given order. `warn` is told of failures the preset allows. */
export function createHooks(extensions: readonly NamedExtension[], warn: (message: string) => void = () => {}): Hooks {
  for (const { name, extension } of extensions) refuseUnknownHooks(name, extension);
  const running = new Set<symbol>();
  const hooks = Object.entries(hookList).map(([hook, { kind }]) => [
    hook,
    firing[kind](orderedTaps(hook as HookName, extensions, running, warn)),
  ]);
  return {
    ...(Object.fromEntries(hooks) as Omit<Hooks, 'pending'>),
    pending: () => [...running].map((call) => call.description ?? ''),
  };
}

/** One handler, wrapped so that its errors name extension and hook. */
interface Tap {
  readonly name: string;
  readonly call: (event: unknown) => unknown;
}

/** From the handlers of a hook to the function that fires it. */
const firing: Readonly<Record<Kind, (taps: readonly Tap[]) => (event: unknown) => unknown>> = {
  series: (taps) => {
    const hook = new AsyncSeriesHook<[unknown]>(['event']);
    for (const { name, call } of taps) {
      hook.tapPromise(name, async (event) => {
        await call(event);
      });
    }
    return (event) => hook.promise(event);
  },
  waterfall: (taps) => {
    const hook = new AsyncSeriesWaterfallHook<[unknown], unknown>(['event']);
    for (const { name, call } of taps) hook.tapPromise(name, async (event) => call(event));
    return (event) => hook.promise(event);
  },
  'sync waterfall': (taps) => {
    const hook = new SyncWaterfallHook<[unknown], unknown>(['event']);
    for (const { name, call } of taps) hook.tap(name, (event) => call(event));
    return (event) => hook.call(event);
  },
};

/** Whether nothing that it hands back goes into a run. */
export function onlyLooks(extension: Extension): boolean {
  return Object.keys(extension).every((hook) => hookList[hook as HookName].kind === 'series');
}

const orders: readonly HookOrder[] = ['early', 'normal', 'late'];

function orderedTaps(
  hook: HookName,
  extensions: readonly NamedExtension[],
  running: Set<symbol>,
  warn: (message: string) => void,
): Tap[] {
  const tapped = extensions.flatMap((named) => {
    const entry = named.extension[hook];
    if (entry === undefined) return [];
    const [order, handler] = typeof entry === 'function' ? (['normal', entry] as const) : [entry.order, entry.handler];
    // The table of hooks pairs each name with its own event; here the pairing is generic.
    const call = wrapped(named, hook, handler as (event: unknown) => unknown, running, warn);
    return [{ order, tap: { name: named.name, call } }];
  });
  return orders.flatMap((order) => tapped.filter((each) => each.order === order).map((each) => each.tap));
}

/** A handler that is handed a frozen copy, whose errors name it, and whose result is checked. */
function wrapped(
  { name, plugin, onError = 'fail' }: NamedExtension,
  hook: HookName,
  handler: (event: unknown) => unknown,
  running: Set<symbol>,
  warn: (message: string) => void,
): (event: unknown) => unknown {
  const who = plugin === undefined ? `extension "${name}"` : `extension "${name}" of plugin "${plugin}"`;
  const place = `${who}, hook "${hook}"`;
  const failure = (cause: unknown): ReasongenError =>
    new ReasongenError({
      code: 'HOOK_FAILED',
      message: cause instanceof Error ? cause.message : String(cause),
      place: blamePlace(place, cause),
      hint: frozenHint(cause) ?? 'mend the extension, then resume the run; --debug shows the whole stack',
      // A guard that stops a run says so with its own exit code.
      ...(cause instanceof ReasongenError && { exitCode: cause.exitCode, hint: cause.hint }),
      cause,
    });
  const { kind } = hookList[hook];
  const fail = (cause: unknown): undefined => {
    if (cause instanceof StrayError) throw cause;
    const error = failure(cause);
    // A guard stops the run, whatever the preset says of failures.
    if (kind !== 'series' || onError === 'fail' || cause instanceof ReasongenError) throw error;
    warn(`${error.place ?? place} failed, the run goes on without it: ${error.message}`);
  };
  return (event) => {
    const call = Symbol(place);
    let result: unknown;
    try {
      result = handler(frozenCopy(event));
    } catch (cause) {
      return fail(cause);
    }
    if (!(result instanceof Promise)) return adopted(hook, place, event, result);
    if (kind === 'sync waterfall') {
      result.catch(() => {}); // The error below is about the same call.
      throw failure(new Error('the handler returned a promise, but this hook is synchronous'));
    }
    running.add(call);
    return unlessStray(result).then(
      (value: unknown) => {
        running.delete(call);
        return adopted(hook, place, event, value);
      },
      (cause: unknown) => {
        running.delete(call);
        return fail(cause);
      },
    );
  };
}

/** The event with what the handler was allowed to replace; undefined keeps it. Throws where what came back cannot be used. */
function adopted(hook: HookName, place: string, before: unknown, result: unknown): unknown {
  const { returns, check } = hookList[hook] as unknown as HookDeclaration<Record<string, unknown>>;
  if (returns === undefined || result === undefined) return undefined;
  const isEvent = typeof result === 'object' && result !== null;
  const event = before as Record<string, unknown>;
  const after = isEvent ? { ...event, ...pick(result as Record<string, unknown>, returns) } : event;
  const wrong = isEvent
    ? check?.(event, after, place)
    : badResult(place, `it handed back ${typeof result === 'object' ? 'null' : JSON.stringify(result)} and no event`);
  if (wrong !== undefined) throw wrong;
  return after;
}

function pick(from: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => key in from).map((key) => [key, from[key]]));
}

function isHandler(entry: unknown): boolean {
  if (typeof entry !== 'object' || entry === null) return typeof entry === 'function';
  const { order, handler } = entry as { readonly order?: unknown; readonly handler?: unknown };
  return typeof handler === 'function' && orders.some((each) => each === order);
}

function refuseUnknownHooks(name: string, extension: Extension): void {
  for (const [hook, entry] of Object.entries(extension) as [string, unknown][]) {
    if (Object.hasOwn(hookList, hook)) {
      if (entry === undefined || isHandler(entry)) continue;
      throw new ReasongenError({
        code: 'BAD_HOOK',
        message: `its hook "${hook}" is neither a function nor { order, handler } with one`,
        place: `extension "${name}"`,
        hint: `write ${hook}(event) { … }, or ${hook}: { order: 'late', handler: (event) => { … } }`,
      });
    }
    throw new ReasongenError({
      code: 'UNKNOWN_HOOK',
      message: `there is no hook "${hook}"`,
      place: `extension "${name}"`,
      hint: `tap one of: ${Object.keys(hookList).join(', ')}`,
    });
  }
}
