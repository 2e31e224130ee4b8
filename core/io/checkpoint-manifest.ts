/**
 * manifest.json of a checkpoint: what it holds and the checksum of everything, its own words included. A checkpoint is whole when
 * its manifest, every file it lists and the name of its folder agree, and all of it lies in that folder.
 */
import { createHash } from 'node:crypto';
import { lstat, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode, readTwice } from './disk.ts';
import { fingerprint, type FileFingerprint } from './fingerprint.ts';

export interface Manifest {
  readonly format: 'reasongen-checkpoint';
  readonly version: 2;
  readonly step: number;
  readonly files: Readonly<Record<string, FileFingerprint>>;
}

const format = 'reasongen-checkpoint';
const version = 2;

/** What makes a checkpoint one: all weights, or the adapters that belong to frozen ones (named as PEFT names its file). */
export const weightFiles = ['weights', 'adapter_model'];

export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** The text of manifest.json. */
export function encodeManifest(step: number, files: Manifest['files']): string {
  const manifest: Manifest = { format, version, step, files };
  return `${JSON.stringify({ ...manifest, sha256: hashOf(manifest) }, null, 2)}\n`;
}

/** Of what the manifest says, not of how it is laid out. */
function hashOf({ step, files }: Manifest): string {
  const entries = Object.entries(files).map(([name, { bytes, sha256 }]) => [name, bytes, sha256]);
  const said = [format, version, step, entries.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))];
  return createHash('sha256').update(JSON.stringify(said)).digest('hex');
}

/** What a checkpoint should hold. Throws BAD_CHECKPOINT when that cannot be told. */
export async function readManifest(path: string): Promise<Manifest> {
  const misplaced = await misplacement(path, 'manifest.json');
  if (misplaced === 'is missing') throw damaged(path, 'it has no manifest.json');
  if (misplaced !== undefined) throw damaged(path, `manifest.json ${misplaced}`);
  const text = await readTwice(() => readFile(join(path, 'manifest.json'), 'utf8')).catch((cause: unknown) => {
    if (hasCode(cause, 'EIO')) throw damaged(path, 'manifest.json cannot be read: the disk reports an error', cause);
    throw diskError(cause, 'reading manifest.json', path);
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, 'manifest.json is not JSON', cause);
  }
  const { sha256, ...manifest } = checkManifest(path, json);
  if (sha256 !== hashOf(manifest))
    throw damaged(path, 'manifest.json has changed since it was saved: its own checksum does not match');
  const folder = basename(path).replace(/^\.replaced-/, '');
  if (/^step-\d+$/.test(folder) && folder !== checkpointName(manifest.step))
    throw damaged(path, `manifest.json is that of ${checkpointName(manifest.step)}`);
  return manifest;
}

function checkManifest(path: string, json: unknown): Manifest & { readonly sha256: string } {
  const manifest = (typeof json === 'object' && json !== null ? json : {}) as Partial<Record<string, unknown>>;
  const { step, files, sha256 } = manifest;
  if (manifest['format'] !== format || !Number.isSafeInteger(step) || Number(step) < 0 || !isRecord(files))
    throw damaged(path, 'manifest.json is not that of a checkpoint');
  if (manifest['version'] !== version)
    throw damaged(
      path,
      `manifest.json has version ${JSON.stringify(manifest['version'])}; this program reads version ${version}`,
    );
  for (const [name, entry] of Object.entries(files)) {
    // Names of files and folders within the checkpoint, and nothing that a system could read as another place.
    if (!/^(?!\.)[\w.-]+(\/(?!\.)[\w.-]+)*$/.test(name) || name === 'manifest.json')
      throw damaged(path, `manifest.json lists ${JSON.stringify(name)}, which is no name of a file in a checkpoint`);
    const { bytes, sha256: hash } = isRecord(entry) ? entry : {};
    if (!Number.isSafeInteger(bytes) || Number(bytes) < 0 || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash))
      throw damaged(path, `manifest.json has no size and checksum for ${name}`);
  }
  if (!weightFiles.some((stem) => Object.hasOwn(files, `${stem}.safetensors`)))
    throw damaged(path, 'manifest.json does not list weights.safetensors');
  if (!Object.hasOwn(files, 'state.json')) throw damaged(path, 'manifest.json does not list state.json');
  if (typeof sha256 !== 'string' || Object.keys(manifest).length !== 5)
    throw damaged(path, 'manifest.json is not that of a checkpoint');
  return { format, version, step: Number(step), files: files as Manifest['files'], sha256 };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Compares every file with the manifest. Throws BAD_CHECKPOINT saying which file and what is wrong with it. */
export async function verifyCheckpoint(path: string): Promise<Manifest> {
  const manifest = await readManifest(path);
  for (const [name, expected] of Object.entries(manifest.files)) {
    const damage = await damageOf(path, name, expected);
    if (damage === contentChanged) throw damaged(path, `the content of ${name} has changed since it was saved`);
    if (damage !== undefined) throw damaged(path, `${name} ${damage}`);
  }
  return manifest;
}

const contentChanged = 'its content has changed';

/** What is wrong with a file of a checkpoint, said after its name; undefined when it is as it was saved. */
export async function damageOf(path: string, name: string, expected: FileFingerprint): Promise<string | undefined> {
  const misplaced = await misplacement(path, name);
  if (misplaced !== undefined) return misplaced;
  try {
    const { bytes, sha256 } = await readTwice(() => fingerprint(join(path, name)));
    if (bytes !== expected.bytes) return `has ${bytes} bytes instead of ${expected.bytes}`;
    return sha256 === expected.sha256 ? undefined : contentChanged;
  } catch (cause) {
    // A place of the disk that has gone bad is damage; a lack of rights or of handles says nothing about the file.
    if (hasCode(cause, 'EIO')) return 'cannot be read: the disk reports an error';
    throw diskError(cause, `reading ${name}`, path);
  }
}

/** A checkpoint may lie behind a link; what it consists of may not: links lead elsewhere, and elsewhere changes. */
async function misplacement(path: string, name: string): Promise<string | undefined> {
  const file = join(path, name);
  try {
    if ((await realpath(file)) !== join(await realpath(path), name)) return 'is a link to another place';
    return (await lstat(file)).isFile() ? undefined : 'is not a file';
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return 'is missing';
    if (hasCode(cause, 'ELOOP')) return 'is a link to itself';
    if (hasCode(cause, 'EIO')) return 'cannot be read: the disk reports an error';
    throw diskError(cause, `looking for ${name}`, path);
  }
}

/**
 * Checkpoints that this process has written or verified: their paths, and what `lstat` said of their files then. As long as it
 * says the same, nobody has touched them, and their checksums need not be computed again.
 */
export type KnownCheckpoints = Map<string, string>;

/** Notes a checkpoint that is known to be whole. */
export async function remember(
  path: string,
  manifest: Pick<Manifest, 'files'>,
  known: KnownCheckpoints,
): Promise<void> {
  known.set(path, await signatureOf(path, manifest));
}

export async function isWhole(path: string, known: KnownCheckpoints): Promise<boolean> {
  try {
    const manifest = await readManifest(path);
    if (known.get(path) === (await signatureOf(path, manifest))) return true;
    await verifyCheckpoint(path);
    await remember(path, manifest, known);
    return true;
  } catch (error) {
    if (error instanceof ReasongenError && error.code === 'BAD_CHECKPOINT') return false;
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

async function signatureOf(path: string, { files }: Pick<Manifest, 'files'>): Promise<string> {
  const names = ['manifest.json', ...Object.keys(files)];
  const states = await Promise.all(names.map((name) => lstat(join(path, name), { bigint: true })));
  return states.map(({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`).join('\n');
}

export function damaged(path: string, message: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'BAD_CHECKPOINT',
    message,
    place: path,
    hint: 'use an earlier checkpoint or copy this one again',
    exitCode: exitCodes.disk,
    cause,
  });
}
