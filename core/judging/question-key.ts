/** Questions by what their answers depend on. */
import { createHash } from 'node:crypto';
import type { Question } from '../contracts/calls.ts';
import { evidenceToJson } from './evidence-json.ts';

/** Equal for equal pictures, questions and fingerprints, in whatever order the fingerprint names its parts. */
export function questionKey({ image, fingerprint, asked }: Question): string {
  const hash = createHash('sha256');
  const parts = Object.entries(fingerprint).toSorted(([a], [b]) => (a < b ? -1 : 1));
  hash.update(JSON.stringify([parts, evidenceToJson(asked), image && [image.width, image.height]]));
  if (image !== undefined) hash.update('\n').update(image.data);
  return hash.digest('base64url');
}
