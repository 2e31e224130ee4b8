/** A published model opened beside whatever the preset names: its class, told by its config.json, says which components read it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PublishedFormat } from './contracts/published.ts';
import type { Component, Plugin, PublishedModel, Scope, Slot, Slots } from './contracts/slots.ts';
import { exitCodes, ReasongenError } from './errors.ts';
import { z } from './preset/zod.ts';

/** Text in and out, and eyes: all that answers questions. */
const parts = ['tokenizer', 'backbone'] as const;

/** Throws UNKNOWN_MODEL for a folder of no class that one of the plugins knows. */
export async function openPublished(
  folder: string,
  options: Readonly<Record<string, unknown>>,
  plugins: readonly Plugin[],
  scope: Omit<Scope, 'published'>,
): Promise<PublishedModel> {
  const { opens = {} } = await formatOf(folder, plugins);
  const made: Partial<Record<Slot, unknown>> = {};
  const get = async <Name extends Slot>(slot: Name): Promise<Slots[Name]> => {
    const known = made[slot];
    if (known === undefined) throw new RangeError(`a published model is opened without ${slot}`);
    return known as Slots[Name];
  };
  const own: Scope = {
    ...scope,
    get,
    getAll: async () => [],
    published: () => Promise.reject(new RangeError('a published model opens no other')),
  };
  for (const slot of parts) {
    const opened = opens[slot];
    const component = plugins
      .flatMap(({ provides }) => provides)
      .find(({ slot: of, name }: Component) => of === slot && name === opened?.use);
    if (opened === undefined || component === undefined) throw unknownModel(folder, plugins);
    const given = slot === 'backbone' ? options : {};
    const read = component.options.safeParse({ ...given, [opened.option]: folder });
    if (!read.success) throw otherOptions(folder, z.prettifyError(read.error));
    made[slot] = await component.create(read.data, own);
  }
  return { tokenizer: await get('tokenizer'), backbone: await get('backbone') };
}

async function formatOf(folder: string, plugins: readonly Plugin[]): Promise<PublishedFormat> {
  const config = await readConfig(join(folder, 'config.json'));
  const found = plugins
    .flatMap(({ formats = [] }) => formats)
    .find((format) => format.opens !== undefined && format.layoutOf(config) !== undefined);
  if (found === undefined) throw unknownModel(folder, plugins);
  return found;
}

async function readConfig(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    // Whatever is wrong with it, it is of no class.
    return undefined;
  }
}

function otherOptions(folder: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'MODEL_OPTIONS',
    message: `models of this class do not take these options: ${why}`,
    place: folder,
    hint: 'leave out what belongs to another class of models',
    exitCode: exitCodes.badPreset,
  });
}

function unknownModel(folder: string, plugins: readonly Plugin[]): ReasongenError {
  const known = plugins.flatMap(({ formats = [] }) => formats.map(({ name }) => name));
  return new ReasongenError({
    code: 'UNKNOWN_MODEL',
    message: 'its config.json is not there, or is of no class of models that is known here',
    place: folder,
    hint: `name the folder of a model of one of these classes: ${known.join(', ')}`,
    exitCode: exitCodes.badPreset,
  });
}
