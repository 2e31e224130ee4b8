/** Pictures of which a user knows what a judge must say: a model that answers otherwise is refused before it judges anything. */
import { dirname, resolve } from 'node:path';
import { decodePicture } from '../../core/compute.ts';
import { decodeText, exitCodes, inputFile, readBounded, ReasongenError, z, type Image } from '../../core/plugin.ts';

export const knownPicturesOption = inputFile()
  .optional()
  .describe('JSON Lines file with pictures and what must be found in them; checked before the first answer');

export interface KnownPicture<Expected> {
  readonly image: Image;
  readonly expected: Expected;
  /** Line of the file, for messages. */
  readonly place: string;
}

/** Each line `{ "picture": PATH, … }` beside what `schema` describes; a path is relative to the file. */
export async function readKnownPictures<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<KnownPicture<z.output<Schema>>[]> {
  const text = decodeText(await readBounded(path, 'reading known pictures'));
  const known: KnownPicture<z.output<Schema>>[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const place = `${path}:${index + 1}`;
    const { picture, ...expected } = parseLine(line, place);
    const read = schema.safeParse(expected);
    if (!read.success)
      throw wrongLine(place, `${read.error.issues[0]?.path.join('.')}: ${read.error.issues[0]?.message}`);
    const file = resolve(dirname(path), picture);
    try {
      const image = await decodePicture(await readBounded(file, 'reading a known picture'));
      known.push({ image, expected: read.data, place });
    } catch (cause) {
      if (cause instanceof RangeError) throw wrongLine(place, `${picture} cannot be read: ${cause.message}`);
      throw cause;
    }
  }
  if (known.length === 0) throw wrongLine(path, 'it has no line');
  return known;
}

/** A check that is made before the first answer, and once. What was given up is checked again by the next question. */
export function checkedOnce(check: (signal: AbortSignal) => Promise<void>): (signal: AbortSignal) => Promise<void> {
  let checked: Promise<void> | undefined;
  return async (signal) => {
    const mine = (checked ??= check(signal));
    try {
      await mine;
    } catch (error) {
      if (!(error instanceof ReasongenError) && checked === mine) checked = undefined;
      throw error;
    }
  };
}

/** A judge that does not know a known picture. */
export function unknown(place: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'JUDGE_FAILS_KNOWN_PICTURE',
    message,
    place,
    hint: 'the model, its preprocessing or the installed onnxruntime-node is not what this file was written for: repair that, or the file',
    exitCode: exitCodes.guard,
  });
}

function parseLine(line: string, place: string): { readonly picture: string } & Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw wrongLine(place, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const read = z.looseObject({ picture: z.string().min(1) }).safeParse(json);
  if (read.success) return read.data;
  throw wrongLine(place, 'it does not name a picture');
}

function wrongLine(place: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_KNOWN_PICTURES',
    message,
    place,
    hint: 'write a line as {"picture": "cat.png", …} with what must be found there, as the page of the plugins shows',
    exitCode: exitCodes.badPreset,
  });
}
