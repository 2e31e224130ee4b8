/** What a sweep varies: every combination of the values of its axes, each with every seed. */
import { PresetError } from '../errors.ts';
import { parseTarget } from '../preset/settings.ts';

/** A setting and the values it takes in turn, as texts of YAML. */
export interface Axis {
  readonly path: string;
  readonly values: readonly string[];
}

/** One combination of values. */
export interface Variant {
  /** `learningRate=1e-5 groupSize=8`; `as it is` where nothing varies. */
  readonly name: string;
  /** As `--set` takes them. */
  readonly settings: readonly string[];
}

/** `PATH=VALUE,VALUE,…`; commas within brackets, braces and quotes belong to a value. Throws BAD_SWEEP. */
export function parseAxis(text: string): Axis {
  const at = text.indexOf('=');
  const path = text.slice(0, Math.max(0, at)).trim();
  if (at < 0 || parseTarget(path) === undefined) throw badSweep(text, 'this is not PATH=VALUE,VALUE');
  const values = splitValues(text.slice(at + 1)).map((value) => value.trim());
  if (parseTarget(path)?.path[0] === 'seed') throw badSweep(text, 'seeds are varied by --seeds');
  if (values.some((value) => value === '')) throw badSweep(text, 'a value is empty');
  if (values.length < 2) throw badSweep(text, 'there is one value, which varies nothing');
  if (new Set(values).size < values.length) throw badSweep(text, 'a value stands there twice');
  return { path, values };
}

/** `3` for the seeds 0, 1 and 2, or a list such as `1,5,7`. `settings`: texts of `--set`, of which none may choose another. Throws BAD_SWEEP. */
export function parseSeeds(text: string, settings: readonly string[] = []): number[] {
  const chosen = settings.find((setting) => parseTarget(setting.split('=')[0] ?? '')?.path[0] === 'seed');
  if (chosen !== undefined) throw badSweep(`--seeds ${text}`, `--set ${chosen} chooses one already`);
  if (!/^\d{1,10}(,\d{1,10})*$/.test(text))
    throw badSweep(`--seeds ${text}`, 'this is neither a number of seeds nor a list of them');
  const numbers = text.split(',').map(Number);
  const seeds = text.includes(',')
    ? numbers
    : Array.from({ length: Math.min(numbers[0] ?? 0, mostRuns + 1) }, (_, seed) => seed);
  if (seeds.length === 0) throw badSweep(`--seeds ${text}`, 'no seed is left');
  if (new Set(seeds).size < seeds.length) throw badSweep(`--seeds ${text}`, 'a seed stands there twice');
  return seeds;
}

/** Runs of one sweep; a slip of the pen should not fill a disk. */
const mostRuns = 1000;

/** Every combination, the last axis fastest. Throws BAD_SWEEP for paths that come twice and for more runs than anybody waits for. */
export function variantsOf(axes: readonly Axis[], seeds: readonly number[]): Variant[] {
  const paths = axes.map(({ path }) => path);
  const twice = paths.find((path, index) => paths.indexOf(path) < index);
  if (twice !== undefined) throw badSweep(twice, 'this path is varied twice');
  const count = axes.reduce((product, { values }) => product * values.length, seeds.length);
  if (count > mostRuns) throw badSweep(`${count} runs`, `a sweep has at most ${mostRuns}`);
  const labels = shortNames(paths);
  let variants: Variant[] = [{ name: '', settings: [] }];
  for (const [index, { path, values }] of axes.entries())
    variants = variants.flatMap(({ name, settings }) =>
      values.map((value) => ({
        name: `${name}${name === '' ? '' : ' '}${labels[index]}=${value}`,
        settings: [...settings, `${path}=${value}`],
      })),
    );
  return variants.map(({ name, settings }) => ({ name: name === '' ? 'as it is' : name, settings }));
}

/** The last part of each path, or the whole path where two end alike. */
function shortNames(paths: readonly string[]): string[] {
  const last = paths.map((path) => path.slice(path.lastIndexOf('.') + 1));
  return paths.map((path, index) => {
    const own = last[index] ?? path;
    return last.filter((other) => other === own).length > 1 ? path : own;
  });
}

function splitValues(text: string): string[] {
  const values: string[] = [];
  let depth = 0;
  let quote = '';
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '"' || character === "'") quote = character;
    else if ('[{'.includes(character)) depth++;
    else if (']}'.includes(character)) depth--;
    else if (character === ',' && depth === 0) {
      values.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...values, text.slice(from)];
}

function badSweep(place: string, message: string): PresetError {
  return new PresetError({
    code: 'BAD_SWEEP',
    message,
    place,
    hint: '--sweep optimizer.learningRate=1e-5,3e-5 --seeds 3; several --sweep make every combination',
  });
}
