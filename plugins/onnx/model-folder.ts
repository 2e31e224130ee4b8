/** A folder of a published ONNX checkpoint: config.json, preprocessor_config.json, onnx/*.onnx. Links, as in a hub's cache, are followed. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprint } from '../../core/compute.ts';
import { decodeText, exitCodes, readBounded, ReasongenError, type z } from '../../core/plugin.ts';
import type { OnnxInterface, OnnxTensor } from './worker.mjs';

/** Bytes of a configuration. */
const longestConfig = 2 ** 26;

const hint = 'give the folder of a model exported to ONNX, with the config.json that came with it';

/** A model of a judge that cannot be used, and why. */
export function badModel(place: string, message: string, remedy = hint): ReasongenError {
  return new ReasongenError({
    code: 'BAD_ONNX_MODEL',
    message,
    place,
    hint: remedy,
    exitCode: exitCodes.badPreset,
  });
}

/** A JSON file of the folder, as `schema` describes it. */
export async function readConfig<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
): Promise<z.output<Schema>> {
  const path = join(folder, name);
  if (!isFile(path))
    throw badModel(folder, `the folder has no ${name}${holdsText(folder)}`, `${hint} and with its ${name}`);
  let json: unknown;
  try {
    json = JSON.parse(decodeText(await readBounded(path, 'reading the configuration of a judge', longestConfig)));
  } catch (cause) {
    if (cause instanceof ReasongenError) throw cause;
    throw badModel(path, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw badModel(path, `${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'is not understood'}`);
}

/** What a model calls itself, where its config.json names the published one that it was made from; else its kind. */
export function modelNameOf(config: { readonly model_type: string; readonly _name_or_path?: unknown }): string {
  const { model_type: kind, _name_or_path: path } = config;
  return typeof path === 'string' && /^[\w.-]+\/[\w.-]+$/.test(path) && !path.startsWith('.') ? path : kind;
}

/** The file of a model: the one that is named, or `NAME.onnx` in `onnx/` or the folder itself, or the only one there. */
export function findModelFile(folder: string, name: string, chosen?: string): string {
  if (!isFolder(folder)) throw badModel(folder, 'it is a file, not the folder of a model');
  if (chosen !== undefined) {
    const path = join(folder, chosen);
    if (isFile(path)) return path;
    throw badModel(folder, `it has no file ${chosen}${holdsText(folder)}`, 'name a file that the folder has');
  }
  for (const inside of ['onnx', ''])
    if (isFile(join(folder, inside, `${name}.onnx`))) return join(folder, inside, `${name}.onnx`);
  const models = modelFiles(folder);
  if (models.length === 1 && name === 'model') return join(folder, models[0] ?? '');
  throw badModel(
    folder,
    `it has no ${name}.onnx${holdsText(folder)}`,
    models.length === 0 ? hint : 'name the file to be used, as `file: onnx/…`',
  );
}

/** By path, size and time: a run makes its components twice, and a gigabyte takes seconds. */
const hashes = new Map<string, Promise<string>>();

/** Hash of a model, and of the data files beside it. */
export async function modelHash(file: string): Promise<string> {
  const files = [file, ...[`${file}_data`, `${file}.data`].filter(isFile)];
  return (await Promise.all(files.map(hashOf))).join('+');
}

function hashOf(file: string): Promise<string> {
  const { size, mtimeMs } = statSync(file);
  const key = `${file} ${size} ${mtimeMs}`;
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const hash = fingerprint(file).then(({ sha256 }) => sha256);
  hashes.set(key, hash);
  return hash;
}

/** Refuses a model that does not take and give what is needed, in words. */
export function requireInterface(
  file: string,
  { inputs, outputs }: OnnxInterface,
  needed: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
  what: string,
): void {
  const names = (values: OnnxInterface['inputs']): string => values.map(({ name }) => name).join(', ') || 'nothing';
  const missing = (wanted: readonly string[], values: OnnxInterface['inputs']): string | undefined =>
    wanted.find((name) => !values.some((value) => value.name === name));
  const input = missing(needed.inputs, inputs);
  const output = missing(needed.outputs, outputs);
  const remedy = `use a model exported as ${what}`;
  if (input !== undefined) throw badModel(file, `it takes no ${input}, but ${names(inputs)}: it is no ${what}`, remedy);
  if (output !== undefined)
    throw badModel(file, `it gives no ${output}, but ${names(outputs)}: it is no ${what}`, remedy);
  const other = [
    ...inputs.filter(({ name, type }) => needed.inputs.includes(name) && type !== 'float32' && type !== 'int64'),
    ...outputs.filter(({ name, type }) => needed.outputs.includes(name) && type !== 'float32'),
  ][0];
  if (other !== undefined)
    throw badModel(
      file,
      `its ${other.name} is ${other.type}`,
      'use the file with float32 (model.onnx), as published scores do',
    );
}

/** Models of a fixed size refuse others in words that no user understands. */
export function requireSize(file: string, { inputs }: OnnxInterface, { dims }: OnnxTensor): void {
  const { shape } = inputs.find(({ name }) => name === 'pixel_values') ?? { shape: [] };
  const isOther =
    shape.length !== dims.length || shape.some((size, axis) => typeof size === 'number' && size !== dims[axis]);
  if (!isOther) return;
  throw badModel(
    file,
    `the model takes pictures of the form [${shape.join(', ')}], and its preprocessor_config.json makes [${dims.join(', ')}]`,
    'use the preprocessor_config.json that came with this file, or a file of another size',
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function modelFiles(folder: string): string[] {
  const within = (inside: string): string[] =>
    isFolder(join(folder, inside))
      ? readdirSync(join(folder, inside))
          .filter((name) => name.endsWith('.onnx') && isFile(join(folder, inside, name)))
          .map((name) => join(inside, name))
      : [];
  return [...within('onnx'), ...within('')];
}

function holdsText(folder: string): string {
  const models = modelFiles(folder);
  return models.length === 0
    ? ', and no file .onnx at all'
    : `, but ${models.length > 8 ? `${models.slice(0, 8).join(', ')} and ${models.length - 8} more` : models.join(', ')}`;
}
