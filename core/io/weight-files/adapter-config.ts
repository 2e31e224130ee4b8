/**
 * `adapter_config.json` of Hugging Face PEFT (https://huggingface.co/docs/peft/package_reference/lora). A key is honoured, known to
 * change nothing once the adapters are trained, or refused by its name.
 */
import { badWeights } from './errors.ts';
import { PatternError, PythonPatterns } from './python-pattern.ts';

/** Modules are called as the file of the adapters calls them. */
export interface AdapterConfig {
  /** The file, for messages. */
  readonly place: string;
  /** A path, or a model on a hub. */
  readonly base: string;
  /** Of a base on a hub. */
  readonly revision?: string;
  readonly baseHash?: string;
  /** Of one module's adapters; their product counts `scale` times. */
  scaling(module: string): { readonly rank: number; readonly scale: number };
  /** All that `scaling` depends on, as text. */
  readonly scales: string;
  /** Whether PEFT would adapt the module. */
  isTarget(module: string): boolean;
  /** Ends of names of modules that were trained and saved as a whole. */
  readonly savedModules: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

/** Keys that are read below. */
const honoured = new Set([
  'peft_type',
  'base_model_name_or_path',
  'base_model_sha256',
  'revision',
  'r',
  'lora_alpha',
  'rank_pattern',
  'alpha_pattern',
  'use_rslora',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'modules_to_save',
  'bias',
  'lora_bias',
  'init_lora_weights',
]);

/** Keys that say how adapters are trained or began, or for whom; trained ones are the same whatever they say. */
const harmless = new Set([
  'task_type',
  'auto_mapping',
  'peft_version',
  'inference_mode',
  'lora_dropout',
  'loftq_config',
  'eva_config',
  'corda_config',
  'lora_ga_config',
  'qalora_group_size',
  'megatron_core',
  'runtime_config',
  'ensure_weight_tying',
  'lora_dtype',
  'lorap_lr_ratio',
  'lorap_emb_lr',
]);

/** First values that leave the base as it is; the others take something away from it, so that it is not the base of the file any more. */
const harmlessInit: readonly unknown[] = [true, false, null, undefined, 'gaussian', 'eva', 'orthogonal'];

/** Throws BAD_WEIGHTS, naming every key that is not understood. */
export function parseAdapterConfig(text: string, place: string): AdapterConfig {
  const config = parseJson(text, place);
  const peftHint = 'merge these adapters with PEFT first (merge_and_unload), and use the merged weights';
  if (config['peft_type'] !== 'LORA')
    throw badWeights(
      place,
      `peft_type is ${shown(config['peft_type'])}; only low-rank adapters, LORA, are read`,
      peftHint,
    );
  const { r: rank, lora_alpha: alpha, base_model_name_or_path: base } = config;
  if (!isRank(rank) || typeof alpha !== 'number' || !Number.isFinite(alpha) || typeof base !== 'string' || base === '')
    throw badWeights(
      place,
      'it needs r (a whole number), lora_alpha (a number) and base_model_name_or_path (a text)',
      'use adapters that PEFT or this program has saved',
    );
  const strange = Object.entries(config)
    .filter(([key, value]) => !honoured.has(key) && !harmless.has(key) && !saysNothing(value))
    .map(([key, value]) => `${key}: ${shown(value)}`);
  const init = config['init_lora_weights'];
  if (!harmlessInit.includes(init)) strange.push(`init_lora_weights: ${shown(init)}`);
  if (strange.length > 0)
    throw badWeights(
      place,
      `not understood here, and it may change what the adapters do: ${strange.join(', ')}`,
      peftHint,
    );
  const read = new Reader(config, place);
  const ranks = read.numbers('rank_pattern', isRank);
  const alphas = read.numbers('alpha_pattern', (value) => typeof value === 'number' && Number.isFinite(value));
  const isRankStabilized = read.flag('use_rslora');
  read.flag('lora_bias');
  read.choice('bias', ['none', 'all', 'lora_only']);
  const { revision, base_model_sha256: baseHash } = config;
  return {
    place,
    base,
    ...(typeof revision === 'string' && { revision }),
    ...(typeof baseHash === 'string' && { baseHash }),
    scales: JSON.stringify([rank, alpha, ranks, alphas, isRankStabilized]),
    scaling(module) {
      const own = read.valueFor(ranks, module) ?? rank;
      const ownAlpha = read.valueFor(alphas, module) ?? alpha;
      return { rank: own, scale: ownAlpha / (isRankStabilized ? Math.sqrt(own) : own) };
    },
    isTarget: targetsOf(read),
    savedModules: read.texts('modules_to_save') ?? [],
  };
}

/** Which modules PEFT adapts: a list holds names or their ends, a text is a pattern for the whole name. */
function targetsOf(read: Reader): (module: string) => boolean {
  const targets = read.textOrTexts('target_modules');
  const excluded = read.textOrTexts('exclude_modules');
  const layers = read.layers();
  const patterns = [read.textOrTexts('layers_pattern') ?? []].flat();
  const fits = (wanted: string | readonly string[], module: string, key: string): boolean =>
    typeof wanted === 'string'
      ? read.match(key, () => read.patterns.isWhole(wanted, module))
      : wanted.some((name) => module === name || module.endsWith(`.${name}`));
  const layerOf = (module: string): number | undefined => {
    if (patterns.length === 0) return wholeNumber(/^.*\.[^.]*\.(\d+)\./.exec(module)?.[1]);
    const parts = module.split('.');
    for (const pattern of patterns) {
      for (let at = parts.length - 2; at > 0; at--) {
        const layer = wholeNumber(parts[at]);
        const before = parts.slice(0, at).join('.');
        const ending = String.raw`.*\.(?:${pattern})`;
        if (layer !== undefined && read.match('layers_pattern', () => read.patterns.isWhole(ending, before)))
          return layer;
      }
    }
    return undefined;
  };
  return (module) => {
    if (excluded !== undefined && excluded.length > 0 && fits(excluded, module, 'exclude_modules')) return false;
    // Without a list, PEFT takes one it has for the class of the model.
    if (targets === undefined || targets === 'all-linear') return true;
    if (typeof targets !== 'string' && targets.includes(module)) return true;
    if (!fits(targets, module, 'target_modules')) return false;
    if (typeof targets === 'string' || layers === undefined) return true;
    const layer = layerOf(module);
    return layer !== undefined && layers.includes(layer);
  };
}

/** Values of the configuration, each of the form it must have. */
class Reader {
  readonly patterns = new PythonPatterns();
  private readonly config: Json;
  private readonly place: string;

  constructor(config: Json, place: string) {
    this.config = config;
    this.place = place;
  }

  flag(key: string): boolean {
    const value = this.config[key] ?? false;
    return typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  choice(key: string, choices: readonly string[]): void {
    const value = this.config[key] ?? choices[0];
    if (typeof value !== 'string' || !choices.includes(value)) this.fail(key, `one of ${choices.join(', ')}`);
  }

  texts(key: string): readonly string[] | undefined {
    const value = this.config[key] ?? undefined;
    return value === undefined || isTexts(value) ? value : this.fail(key, 'a list of names');
  }

  textOrTexts(key: string): string | readonly string[] | undefined {
    const value = this.config[key] ?? undefined;
    return value === undefined || typeof value === 'string' || isTexts(value)
      ? value
      : this.fail(key, 'a pattern or a list of names');
  }

  /** Undefined for all. */
  layers(): readonly number[] | undefined {
    const value = this.config['layers_to_transform'] ?? [];
    const layers = Array.isArray(value) ? (value as readonly unknown[]) : [value];
    if (!layers.every((layer): layer is number => Number.isSafeInteger(layer)))
      return this.fail('layers_to_transform', 'a layer or a list of layers');
    return layers.length === 0 ? undefined : layers;
  }

  /** A map from patterns to numbers. */
  numbers(key: string, isValid: (value: unknown) => boolean): readonly (readonly [string, number])[] {
    const value = this.config[key] ?? {};
    if (typeof value !== 'object' || Array.isArray(value) || !Object.values(value).every(isValid))
      return this.fail(key, 'a map from names of modules to numbers');
    return Object.entries(value as Readonly<Record<string, number>>).map(([pattern, number]) => [pattern, number]);
  }

  /** The first pattern that fits the end of the name counts. */
  valueFor(entries: readonly (readonly [string, number])[], module: string): number | undefined {
    return entries.find(([pattern]) => this.match(`"${pattern}"`, () => this.patterns.isEnd(pattern, module)))?.[1];
  }

  match(key: string, work: () => boolean): boolean {
    try {
      return work();
    } catch (cause) {
      if (!(cause instanceof PatternError)) throw cause;
      throw badWeights(
        this.place,
        `the pattern ${key} ${cause.message}`,
        'write the names of the modules as a list',
        cause,
      );
    }
  }

  private fail(key: string, expected: string): never {
    throw badWeights(
      this.place,
      `${key} is ${shown(this.config[key])}, not ${expected}`,
      'use adapters that PEFT or this program has saved',
    );
  }
}

function parseJson(text: string, place: string): Json {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw badWeights(place, 'it is not JSON', 'copy the folder of the adapters again', cause);
  }
  if (typeof config === 'object' && config !== null && !Array.isArray(config)) return config as Json;
  throw badWeights(place, 'it is not a JSON object', 'copy the folder of the adapters again');
}

/** Null, false, nothing in a list or map: how PEFT writes what is not used, also what it has learnt since. */
function saysNothing(value: unknown): boolean {
  return (
    value === null ||
    value === false ||
    (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  );
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function isRank(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
