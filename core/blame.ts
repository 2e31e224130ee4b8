/** Whose code threw: the file and line of a plugin, as an error's stack tells it. */
import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReasongenError } from './errors.ts';
import { frozenHint } from './frozen.ts';
import { takeTurn, unlessStray } from './waiting.ts';

/** The folder of this package, in a clone and in an installed copy. */
const own = fileURLToPath(new URL('../', import.meta.url));

/** `mine/brevity.ts:12:5` of the innermost frame that is neither Node's nor this package's; undefined where there is none. */
export function thrownAt(error: unknown): string | undefined {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return undefined;
  for (const line of error.stack.split('\n')) {
    const [, location, row, column] =
      /(?:\(|at (?:async )?)((?:file:\/\/|\/|[A-Za-z]:\\)[^()]*):(\d+):(\d+)\)?$/.exec(line) ?? [];
    if (location === undefined) continue;
    const path = location.startsWith('file://') ? fileURLToPath(location.replace(/\?.*$/, '')) : location;
    if (isOwn(path)) continue;
    const near = relative(process.cwd(), path);
    return `${near.startsWith('..') ? path : near}:${row}:${column}`;
  }
  return undefined;
}

/** Packages that this one is built on: what they throw at the program is no fault of a plugin. */
const buildingBlocks =
  /^(tapable|inversify|@inversifyjs|zod|tsx|commander|vitest|@vitest|hono|@hono|undici|yaml|sharp|openai|bullmq|ioredis|esbuild|hyparquet|hyparquet-compressors|@huggingface|cli-progress)$/;

/** Code of this package, tests and examples beside it not among it, and what it is built on: in a clone those lie within it, installed beside it. */
function isOwn(path: string): boolean {
  const within = path.startsWith(own) ? path.slice(own.length) : path;
  const packages = `${sep}${within}`.split(`${sep}node_modules${sep}`);
  if (packages.length > 1) return buildingBlocks.test(packages.at(-1)?.split(sep)[0] ?? '');
  return path.startsWith(own) && ['core', 'plugins', 'dist'].some((folder) => within.startsWith(`${folder}${sep}`));
}

/** The place of a failure: `reward "judge"`, and the file and line of the plugin where the error tells. */
export function blamePlace(who: string, error: unknown): string {
  const at = thrownAt(error);
  return at === undefined ? who : `${who} (${at})`;
}

/**
 * A component of a plugin whose failures name it: every method is called on the component itself, and what it throws becomes
 * COMPONENT_FAILED with slot, name, plugin, file and line. An error that says what to do already is handed on.
 * @param who for example `dataset "mine" of plugin "shop"`
 * @param passes errors that are handed on as they are
 * @param isAnswer whether what is still to come is given up where it never does
 */
export function blamed<Target extends object>(
  target: Target,
  who: string,
  {
    passes = (error) => error instanceof ReasongenError,
    isAnswer = true,
  }: { readonly passes?: (error: unknown) => boolean; readonly isAnswer?: boolean } = {},
): Target {
  const outside = Object.create(target) as Target;
  const keys = new Set<string>();
  for (
    let at: object | null = target;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object | null
  )
    for (const key of Object.getOwnPropertyNames(at)) if (key !== 'constructor') keys.add(key);
  for (const key of keys) {
    Object.defineProperty(outside, key, {
      enumerable: true,
      configurable: true,
      get: () => {
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function'
          ? guarded(value as Callable, target, isAnswer, (error) => (passes(error) ? error : failed(error, who)))
          : value;
      },
    });
  }
  return outside;
}

type Callable = (...args: unknown[]) => unknown;

function guarded(
  method: Callable,
  target: object,
  isAnswer: boolean,
  explained: (error: unknown) => unknown,
): Callable {
  return (...args) => {
    const turn = takeTurn();
    try {
      const result = method.apply(target, args);
      if (!(result instanceof Promise)) return result;
      const answer = isAnswer ? unlessStray(result, turn) : result;
      return answer.catch((error: unknown) => Promise.reject(explained(error)));
    } catch (error) {
      throw explained(error);
    }
  };
}

function failed(error: unknown, who: string): unknown {
  if (error instanceof ReasongenError) return error;
  return new ReasongenError({
    code: 'COMPONENT_FAILED',
    message: error instanceof Error ? error.message : String(error),
    place: blamePlace(who, error),
    hint: frozenHint(error) ?? 'mend the plugin, then resume the run; --debug shows the whole stack',
    cause: error,
  });
}
