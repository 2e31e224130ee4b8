/** How these models are published: Qwen2.5-VL under names of its own, Qwen3-VL under those inside transformers, which checkpoints of either may have. */
import { type NameRule } from '../../core/compute.ts';
import { ReasongenError, type PublishedFormat } from '../../core/plugin.ts';
import { head, table } from './backbone.ts';
import { towerPrefix } from './tower.ts';
import { families, isKnown, type Family } from './config.ts';

const decoderNames: readonly NameRule[] = [
  { original: 'model.embed_tokens.*', port: 'model.language_model.embed_tokens.*' },
  { original: 'model.layers.*', port: 'model.language_model.layers.*' },
  { original: 'model.norm.*', port: 'model.language_model.norm.*' },
];

const names: Readonly<Record<Family, readonly NameRule[]>> = {
  'qwen2.5-vl': [{ original: 'visual.*', port: 'model.visual.*' }, ...decoderNames],
  'qwen3-vl': [],
  qwen2: decoderNames,
  qwen3: decoderNames,
};

const layouts = {
  'qwen2.5-vl': 'original',
  'qwen3-vl': 'huggingface',
  qwen2: 'original',
  qwen3: 'original',
} as const satisfies Record<Family, string>;

function formatOf(family: Family): PublishedFormat {
  const layout = layouts[family];
  return {
    name: family,
    names: names[family],
    otherParts: [towerPrefix],
    // As the files of Qwen3-0.6B and 1.7B do.
    copies: { [head]: table },
    opens: { tokenizer: { use: 'qwen', option: 'folder' }, backbone: { use: 'qwen-vl', option: 'checkpoint' } },
    layoutOf: (config) => (familyOf(config) === family ? layout : undefined),
    configFiles(config, wanted) {
      if (wanted.layout !== layout)
        throw new ReasongenError({
          code: 'BAD_CONFIG',
          message: `models of the class ${family} are published in one layout only, "${layout}"`,
          place: wanted.place,
          hint: `leave the layout out, or ask for ${layout}`,
          exitCode: 2,
        });
      const type = wanted.type === undefined ? undefined : torchTypes[wanted.type];
      return { 'config.json': type === undefined ? config : retyped(config, type) };
    },
  };
}

export const formats = {
  'qwen2.5-vl': formatOf('qwen2.5-vl'),
  'qwen3-vl': formatOf('qwen3-vl'),
  qwen2: formatOf('qwen2'),
  qwen3: formatOf('qwen3'),
} as const satisfies Record<Family, PublishedFormat>;

function familyOf(config: unknown): Family | undefined {
  const type = isRecord(config) ? config['model_type'] : undefined;
  return typeof type === 'string' && isKnown(type) ? families[type] : undefined;
}

const torchTypes = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;

/** The type is noted at the top, and in newer files in the parts, as `dtype`. */
function retyped(value: unknown, type: string): unknown {
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === 'dtype' || key === 'torch_dtype' ? type : retyped(inner, type),
    ]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
