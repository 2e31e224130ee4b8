import type { NameRule } from '../tensor/name-rules.ts';

/** `huggingface`: the port in the `transformers` library. `original`: the files of the authors. */
export type PublishedLayout = 'huggingface' | 'original';

/** How the floating-point numbers of a published model are stored. */
export type PublishedType = 'f32' | 'f16' | 'bf16';

/**
 * How a class of models is published: what it takes to load such checkpoints, to pass on the parts that are not trained, and to
 * write checkpoints that other programs load. A plugin lists its formats, and a backbone says which one it is of.
 */
export interface PublishedFormat {
  readonly name: string;
  /** Names in both layouts. A backbone's parameters have the names of the port. */
  readonly names: readonly NameRule[];
  /** Beginnings of port names of parts that are models of their own: a checkpoint holds them, and a run may do without. */
  readonly otherParts: readonly string[];
  /** Port names of tensors that a checkpoint may hold a second time, and which one each repeats, where a configuration says that both are one. */
  readonly copies?: Readonly<Record<string, string>>;
  /** What `--model` of a folder of this class puts into the slots of a preset: a component, and its option that takes the folder. */
  readonly opens?: Readonly<Partial<Record<'tokenizer' | 'imageTokenizer' | 'backbone', OpenedBy>>>;
  /** The layout that a parsed config.json describes; undefined for other classes of models. */
  layoutOf(config: unknown): PublishedLayout | undefined;
  /** The configuration files of a layout, by name, from a parsed config.json of either. Throws BAD_CONFIG for what cannot be said in it. */
  configFiles(config: unknown, wanted: WantedConfig): Readonly<Record<string, unknown>>;
}

export interface OpenedBy {
  readonly use: string;
  readonly option: string;
}

export interface WantedConfig {
  readonly layout: PublishedLayout;
  /** Left as it was unless given. */
  readonly type?: PublishedType | undefined;
  /** Id of a special token by its string, for ids that only one of the layouts writes down. */
  readonly tokenId: (token: string) => number | undefined;
  /** Names the given config.json in errors. */
  readonly place: string;
}
