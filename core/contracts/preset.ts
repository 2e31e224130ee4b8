/** What a preset says of a component to the runtime; which keys there are depends on the slot. Absent where the preset says nothing. */
export interface EntrySettings extends CallSettings {
  /** Rewards: share in the total. */
  readonly weight?: number;
  /** Rewards: `fail` (default), `drop` or `ignore`; extensions: `fail` (default) or `warn`. */
  readonly onError?: 'fail' | 'drop' | 'ignore' | 'warn';
  /** Rewards: see `NamedReward`. */
  readonly onNoVerdict?: 'drop' | 'group-mean' | 'fail';
  readonly gate?: boolean;
  /** Rewards, judges and benchmarks: workers answer for it. */
  readonly byWorkers?: boolean;
  readonly heldOut?: boolean;
  readonly schedule?: readonly (readonly [step: number, weight: number])[];
}

/** Policies of the calls that a component makes to something outside of the run. */
export interface CallSettings {
  readonly atOnce?: number;
  /** Seconds. */
  readonly timeout?: number;
  readonly retries?: number;
  readonly perMinute?: number;
  readonly budget?: { readonly requests?: number; readonly tokens?: number };
  /** A folder, absolute, or `off`. */
  readonly cache?: string;
}

/** A component the preset names, with checked options: defaults filled in, paths absolute, deeply frozen. */
export interface ComponentChoice extends EntrySettings {
  readonly slot: string;
  /** Name of the component. */
  readonly use: string;
  /** Name within the run: `name` of the preset, else `use`. Unique in its slot. */
  readonly name: string;
  /** Share in the total of the rewards; 1 unless the preset says otherwise. */
  readonly weight: number;
  /** Name of the plugin that provides it; absent for what comes with reasongen. */
  readonly plugin?: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A checked preset. Nothing in it can be changed. */
export interface Preset {
  readonly name: string;
  readonly seed: number;
  /** The preset file, absolute. */
  readonly file: string;
  /** Plugins it names beyond the built-in ones: absolute paths and package names. */
  readonly plugins: readonly string[];
  /** What fills each slot, by slot name; a slot filled by one component is a list of one. */
  readonly components: Readonly<Record<string, readonly ComponentChoice[]>>;
}

/** Where a value of a preset came from. */
export interface Origin {
  readonly kind: 'file' | 'set' | 'default';
  /** Absolute path of the file; the text of the `--set` otherwise; the declaring component for a default. */
  readonly source: string;
  /** From one; zero where there is no file. */
  readonly line: number;
  readonly column: number;
}
