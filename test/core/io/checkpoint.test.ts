import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as nodeFiles from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ReasongenError } from '../../../core/errors.ts';
import {
  listCheckpoints,
  newestGood,
  openNewest,
  saveCheckpoint,
  savedSteps,
  type CheckpointContent,
} from '../../../core/io/checkpoint.ts';
import { bestCheckpoint, loadCheckpoint } from '../../support/checkpoints.ts';
import { encodeManifest, readManifest, verifyCheckpoint } from '../../../core/io/checkpoint-manifest.ts';
import { disk, type Files } from '../../../core/io/disk.ts';
import { openModelSource } from '../../../core/io/weight-files/model.ts';
import { findWeights } from '../../../core/io/weight-files/open.ts';

let run: string;
beforeEach(async () => {
  run = await nodeFiles.mkdtemp(join(tmpdir(), 'reasongen-checkpoint-'));
});
afterEach(() => nodeFiles.rm(run, { recursive: true, force: true }));

function content(value: number): CheckpointContent {
  return {
    weights: new Map([['layer.weight', { shape: [2, 3], data: new Float32Array(6).fill(value) }]]),
    optimizer: new Map([['layer.weight.first', { shape: [2, 3], data: new Float32Array(6).fill(-value) }]]),
    state: { step: value, seed: 7, position: [1, 2] },
  };
}

/** The file system, failing at the n-th call. `isDead`: every later call fails as well, as after a kill. */
function failing(at: number, code: string, isDead: boolean): { files: Files; calls: () => number } {
  let calls = 0;
  const gate = (): void => {
    calls++;
    if (calls === at || (isDead && calls > at)) throw Object.assign(new Error(`${code}: made to fail`), { code });
  };
  const guard = <Arguments extends unknown[], Result>(call: (...values: Arguments) => Promise<Result>) => {
    return async (...values: Arguments): Promise<Result> => {
      gate();
      return call(...values);
    };
  };
  const files = {
    mkdir: guard(disk.mkdir as (...values: unknown[]) => Promise<unknown>),
    readdir: guard(disk.readdir as (...values: unknown[]) => Promise<unknown>),
    rename: guard(disk.rename),
    rm: guard(disk.rm),
    open: guard(async (...values: Parameters<Files['open']>) => {
      const file = await disk.open(...values);
      const write = file.write.bind(file) as (...parts: unknown[]) => Promise<{ bytesWritten: number }>;
      const sync = file.sync.bind(file);
      const part = async (...parts: unknown[]): Promise<{ bytesWritten: number }> => {
        // A full disk takes the beginning of a write first.
        const [chunk, offset, length] = parts as [Uint8Array, number, number];
        if (calls + 1 === at && length > 1) await write(chunk, offset, length >> 1);
        gate();
        return write(...parts);
      };
      return Object.assign(file, { write: part, sync: async () => (gate(), sync()) });
    }),
  };
  return { files: files as unknown as Files, calls: () => calls };
}

async function visible(): Promise<string[]> {
  return (await nodeFiles.readdir(join(run, 'checkpoints'))).sort();
}

test('how far a run is says no folder by its name alone', async () => {
  expect(await savedSteps(run)).toBeUndefined();
  for (const step of [50, 60]) await saveCheckpoint(run, step, content(step));
  expect(await savedSteps(run)).toBe(60);
  await nodeFiles.cp(join(run, 'checkpoints/step-000050'), join(run, 'checkpoints/step-000900'), { recursive: true });
  expect(await savedSteps(run)).toBe(60);
  await nodeFiles.rename(join(run, 'checkpoints/step-000060'), join(run, 'checkpoints/step-000070'));
  expect(await savedSteps(run)).toBe(50);
});

describe('save and load', () => {
  test('everything comes back', async () => {
    const path = await saveCheckpoint(run, 50, content(50));
    expect(path).toBe(join(run, 'checkpoints', 'step-000050'));
    expect((await nodeFiles.readdir(path)).sort()).toEqual([
      'manifest.json',
      'optimizer.safetensors',
      'state.json',
      'weights.safetensors',
    ]);
    const loaded = await loadCheckpoint(path);
    expect(loaded.step).toBe(50);
    expect(loaded.state).toEqual(content(50).state);
    expect(loaded.weights.get('layer.weight')?.data).toEqual(new Float32Array(6).fill(50));
    expect(loaded.optimizer.get('layer.weight.first')?.data).toEqual(new Float32Array(6).fill(-50));
    expect((await openNewest(run)).hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('keeps the newest and the best', async () => {
    for (const [step, score] of [
      [1, 0.2],
      [2, 0.9],
      [3, 0.5],
      [4, 0.6],
      [5, 0.9],
    ] as const) {
      await saveCheckpoint(run, step, content(step), { keep: 2, score });
    }
    expect((await listCheckpoints(run)).map(({ step }) => step)).toEqual([2, 4, 5]);
    expect((await bestCheckpoint(run))?.step).toBe(2);
    await saveCheckpoint(run, 6, content(6), { keep: 1, score: 0.95 });
    expect((await listCheckpoints(run)).map(({ step }) => step)).toEqual([6]);
    expect(await visible()).toEqual(['best.json', 'step-000006']);
  });

  test('steps sort as numbers', async () => {
    for (const step of [999_999, 1_000_000, 20]) await saveCheckpoint(run, step, content(step), { keep: 9 });
    expect((await listCheckpoints(run)).map(({ step }) => step)).toEqual([20, 999_999, 1_000_000]);
  });

  test('a step saved twice is replaced', async () => {
    await saveCheckpoint(run, 5, content(1));
    const path = await saveCheckpoint(run, 5, content(2));
    expect((await loadCheckpoint(path)).state).toMatchObject({ step: 2 });
    expect(await visible()).toEqual(['step-000005']);
  });

  test('state that JSON would change is refused', async () => {
    const state = { loss: { value: Number.NaN } };
    await expect(saveCheckpoint(run, 1, { ...content(1), state })).rejects.toThrow(
      'state.value = NaN cannot be stored',
    );
    expect(await listCheckpoints(run)).toEqual([]);
  });

  test('weights come from a run, a checkpoint or a file', async () => {
    const path = await saveCheckpoint(run, 1, content(1));
    const hashes = [run, path, join(path, 'weights.safetensors')].map(async (from) => {
      const { source, hash } = await openModelSource(from);
      await source.close();
      return hash;
    });
    expect(new Set(await Promise.all(hashes)).size).toBe(1);
    await expect(openModelSource(join(run, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

describe('damage', () => {
  const damages: [string, (path: string) => Promise<unknown>, RegExp][] = [
    [
      'a file cut short',
      (path) => nodeFiles.truncate(join(path, 'optimizer.safetensors'), 40),
      /optimizer\.safetensors has 40 bytes instead of \d+/,
    ],
    [
      'a changed byte',
      (path) => flip(join(path, 'weights.safetensors')),
      /content of weights\.safetensors has changed/,
    ],
    ['a missing file', (path) => nodeFiles.rm(join(path, 'state.json')), /state\.json is missing/],
    ['no manifest', (path) => nodeFiles.rm(join(path, 'manifest.json')), /no manifest\.json/],
    [
      'a manifest that is no JSON',
      (path) => nodeFiles.truncate(join(path, 'manifest.json'), 30),
      /manifest\.json is not JSON/,
    ],
    ['another manifest', (path) => nodeFiles.writeFile(join(path, 'manifest.json'), '{}'), /not that of a checkpoint/],
    ['a later format', (path) => edit(path, { version: 3 }), /has version 3; this program reads version 2/],
    ['an earlier format', (path) => edit(path, { version: 1 }), /has version 1/],
    ['a version that is no number', (path) => edit(path, { version: '2' }), /has version "2"/],
    ['a manifest without weights', (path) => edit(path, { files: {} }), /does not list weights\.safetensors/],
    ['another step in the manifest', (path) => edit(path, { step: 21 }), /its own checksum does not match/],
    ['a word more in the manifest', (path) => edit(path, { base: 'x' }), /not that of a checkpoint/],
    ['no checksum of its own', (path) => edit(path, { sha256: undefined }), /not that of a checkpoint/],
    [
      'a file that the manifest no longer names',
      (path) => editFiles(path, ({ 'optimizer.safetensors': _left, ...files }) => files),
      /its own checksum does not match/,
    ],
    [
      'two files that have changed places',
      (path) =>
        editFiles(path, (files) => ({
          ...files,
          'optimizer.safetensors': files['weights.safetensors'],
          'weights.safetensors': files['optimizer.safetensors'],
        })),
      /its own checksum does not match/,
    ],
    ['the manifest of another checkpoint', (path) => copyFrom10(path, 'manifest.json'), /is that of step-000010/],
    [
      'the optimizer of another checkpoint',
      (path) => copyFrom10(path, 'optimizer.safetensors'),
      /content of optimizer\.safetensors has changed/,
    ],
    [
      'every file of another checkpoint',
      (path) => nodeFiles.cp(join(run, 'checkpoints/step-000010'), path, { recursive: true }),
      /is that of step-000010/,
    ],
    [
      'a link to an equal file elsewhere',
      (path) => turnIntoLink(path, 'weights.safetensors'),
      /weights\.safetensors is a link to another place/,
    ],
    [
      'a manifest elsewhere',
      (path) => turnIntoLink(path, 'manifest.json'),
      /manifest\.json is a link to another place/,
    ],
    [
      'a link to itself',
      async (path) => {
        await nodeFiles.rm(join(path, 'state.json'));
        await nodeFiles.symlink('state.json', join(path, 'state.json'));
      },
      /state\.json is a link to itself/,
    ],
    [
      'a folder in place of a file',
      async (path) => {
        await nodeFiles.rm(join(path, 'state.json'));
        await nodeFiles.mkdir(join(path, 'state.json'));
      },
      /state\.json is not a file/,
    ],
    ...['../other', '/etc/passwd', 'a/../b', '..', '.hidden', 'a//b', 'a\\b', 'C:x', 'manifest.json'].map(
      (name): [string, (path: string) => Promise<unknown>, RegExp] => [
        `the file name ${name}`,
        (path) => sealed(path, (files) => ({ ...files, [name]: files['state.json'] })),
        /^manifest\.json lists ".*", which is no name of a file in a checkpoint/,
      ],
    ),
    [
      'a size below zero',
      (path) => sealed(path, (files) => ({ ...files, 'state.json': { bytes: -1, sha256: '0'.repeat(64) } })),
      /no size and checksum for state\.json/,
    ],
    [
      'a checksum that is none',
      (path) => sealed(path, (files) => ({ ...files, 'state.json': { bytes: 1, sha256: 'x' } })),
      /no size and checksum for state\.json/,
    ],
  ];
  test.each(damages)('%s: the one before it is used', async (_name, damage, message) => {
    const good = await saveCheckpoint(run, 10, content(10));
    const bad = await saveCheckpoint(run, 20, content(20));
    await damage(bad);
    await expect(verifyCheckpoint(bad)).rejects.toMatchObject({ code: 'BAD_CHECKPOINT', place: bad, exitCode: 6 });
    await expect(loadCheckpoint(bad)).rejects.toThrow(message);
    const { path, step, skipped } = await newestGood(run);
    expect({ path, step }).toEqual({ path: good, step: 10 });
    expect(skipped).toEqual([{ path: bad, why: expect.stringMatching(message) as string }]);
    expect(await findWeights(run)).toMatchObject({ path: join(good, 'weights.safetensors') });
  });

  test('when all are damaged, each is named', async () => {
    await expect(newestGood(run)).rejects.toMatchObject({ code: 'NO_CHECKPOINT', message: 'there is no checkpoint' });
    const path = await saveCheckpoint(run, 10, content(10));
    await flip(join(path, 'state.json'));
    await expect(newestGood(run)).rejects.toThrow(
      `no checkpoint is whole (${path}: the content of state.json has changed`,
    );
  });

  async function flip(path: string): Promise<void> {
    const bytes = await nodeFiles.readFile(path);
    bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1;
    await nodeFiles.writeFile(path, bytes);
  }

  test('a checkpoint may lie behind a link, and may be renamed to what is no step', async () => {
    const path = await saveCheckpoint(run, 10, content(10));
    const elsewhere = join(run, 'elsewhere');
    await nodeFiles.rename(path, elsewhere);
    await nodeFiles.symlink(elsewhere, path);
    for (const place of [path, elsewhere]) expect((await loadCheckpoint(place)).step).toBe(10);
  });

  test('a manifest that was only laid out anew is the same manifest', async () => {
    const path = await saveCheckpoint(run, 10, content(10));
    await edit(path, {});
    expect(await verifyCheckpoint(path)).toMatchObject({ step: 10 });
  });

  test('a disk that cannot be asked is no damage: nothing falls back to older weights', async () => {
    await saveCheckpoint(run, 10, content(10));
    const path = await saveCheckpoint(run, 20, content(20));
    await nodeFiles.rm(path, { recursive: true });
    await nodeFiles.writeFile(join(run, 'checkpoints', 'file'), '');
    await nodeFiles.symlink(join(run, 'x'.repeat(300)), path);
    await expect(newestGood(run)).rejects.toMatchObject({ code: 'DISK_FAILURE', exitCode: 6 });
  });

  async function edit(path: string, changes: object): Promise<void> {
    const file = join(path, 'manifest.json');
    const manifest = JSON.parse(await nodeFiles.readFile(file, 'utf8')) as object;
    await nodeFiles.writeFile(file, JSON.stringify({ ...manifest, ...changes }));
  }

  type Listed = Readonly<Record<string, { readonly bytes: number; readonly sha256: string } | undefined>>;

  async function editFiles(path: string, change: (files: Listed) => Listed): Promise<void> {
    await edit(path, { files: change((await readManifest(path)).files) });
  }

  /** With a checksum that fits, as somebody would write it who means harm. */
  async function sealed(path: string, change: (files: Listed) => Listed): Promise<void> {
    const { step, files } = await readManifest(path);
    await nodeFiles.writeFile(join(path, 'manifest.json'), encodeManifest(step, change(files) as typeof files));
  }

  async function copyFrom10(path: string, name: string): Promise<void> {
    await nodeFiles.copyFile(join(run, 'checkpoints/step-000010', name), join(path, name));
  }

  async function turnIntoLink(path: string, name: string): Promise<void> {
    const elsewhere = join(run, 'elsewhere');
    await nodeFiles.mkdir(elsewhere);
    await nodeFiles.rename(join(path, name), join(elsewhere, name));
    await nodeFiles.symlink(join(elsewhere, name), join(path, name));
  }
});

describe('pruning', () => {
  const flip = async (path: string): Promise<void> => {
    const bytes = await nodeFiles.readFile(path);
    bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1;
    await nodeFiles.writeFile(path, bytes);
  };
  const steps = async (): Promise<number[]> => (await listCheckpoints(run)).map(({ step }) => step);

  test.each([
    ['known by their writer', true],
    ['found', false],
  ])('a damaged checkpoint takes no place of a whole one: %s', async (_name, isKnown) => {
    const known = isKnown ? { known: new Map<string, string>() } : {};
    for (const step of [10, 20, 30]) await saveCheckpoint(run, step, content(step), known);
    await flip(join(run, 'checkpoints/step-000030/weights.safetensors'));
    await flip(join(run, 'checkpoints/step-000020/state.json'));
    // A run that went on from step 10.
    await saveCheckpoint(run, 15, content(15), { keep: 2, ...known });
    expect(await steps()).toEqual([10, 15, 20, 30]);
    await saveCheckpoint(run, 20, content(20), { keep: 2, ...known });
    expect(await steps()).toEqual([15, 20, 30]);
    await saveCheckpoint(run, 40, content(40), { keep: 2, ...known });
    expect(await steps()).toEqual([20, 30, 40]);
    await saveCheckpoint(run, 50, content(50), { keep: 2, ...known });
    expect(await steps()).toEqual([40, 50]);
  });

  test('a damaged best checkpoint is none: the next score is the best', async () => {
    await saveCheckpoint(run, 1, content(1), { score: 9, keep: 1 });
    await flip(join(run, 'checkpoints/step-000001/weights.safetensors'));
    await saveCheckpoint(run, 2, content(2), { score: 1, keep: 1 });
    expect((await bestCheckpoint(run))?.step).toBe(2);
    expect(await steps()).toEqual([2]);
  });
});

describe('failure while saving', { timeout: 120_000 }, () => {
  /** Calls that a save of step 20 makes when 10 is there and must go. */
  async function countCalls(): Promise<number> {
    const { files, calls } = failing(Number.POSITIVE_INFINITY, '', false);
    await saveCheckpoint(run, 10, content(10));
    await saveCheckpoint(run, 20, content(20), { keep: 1, score: 1, files });
    await nodeFiles.rm(join(run, 'checkpoints'), { recursive: true });
    return calls();
  }

  test('a disk that fills up at any call leaves a good checkpoint and nothing temporary', async () => {
    const total = await countCalls();
    expect(total).toBeGreaterThan(20);
    for (let at = 1; at <= total; at++) {
      await saveCheckpoint(run, 10, content(10));
      const error: unknown = await saveCheckpoint(run, 20, content(20), {
        keep: 1,
        score: 1,
        files: failing(at, 'ENOSPC', false).files,
      }).catch((caught: unknown) => caught);
      expect(error, `call ${at}`).toBeInstanceOf(ReasongenError);
      const { code, exitCode, message, hint } = error as ReasongenError;
      expect({ code, exitCode }).toEqual({ code: 'DISK_FULL', exitCode: 6 });
      const { step } = await newestGood(run);
      if (message.includes('which itself is safe')) expect(step).toBe(20);
      else
        expect(hint).toMatch(
          /^free some space; the last good checkpoint is .*step-0000[12]0; then go on with: npx reasongen resume /,
        );
      expect(
        (await visible()).filter((name) => name.startsWith('.tmp-step')),
        `call ${at}`,
      ).toEqual([]);
      await nodeFiles.rm(join(run, 'checkpoints'), { recursive: true });
    }
  });

  test('a kill at any call leaves a good checkpoint, and the next save cleans up', async () => {
    const total = await countCalls();
    for (const second of [20, 10]) {
      for (let at = 1; at <= total; at++) {
        await saveCheckpoint(run, 10, content(10));
        await saveCheckpoint(run, second, content(second), {
          keep: 1,
          score: 1,
          files: failing(at, 'EIO', true).files,
        }).catch(() => undefined);
        const { step, path, skipped } = await newestGood(run);
        expect([10, second]).toContain(step);
        expect(skipped).toEqual([]);
        expect((await loadCheckpoint(path)).state).toMatchObject({ step });
        await saveCheckpoint(run, 30, content(30), { keep: 1 });
        expect(
          (await visible()).filter((name) => name.startsWith('.')),
          `call ${at}`,
        ).toEqual([]);
        await nodeFiles.rm(join(run, 'checkpoints'), { recursive: true });
      }
    }
  });

  test.each([
    ['EROFS', 'DISK_READ_ONLY'],
    ['EACCES', 'DISK_FORBIDDEN'],
    ['EMFILE', 'TOO_MANY_FILES'],
    ['ENFILE', 'TOO_MANY_FILES'],
    ['EDQUOT', 'DISK_FULL'],
    ['EIO', 'DISK_FAILURE'],
  ])('%s becomes %s', async (cause, code) => {
    await expect(saveCheckpoint(run, 1, content(1), { files: failing(4, cause, false).files })).rejects.toMatchObject({
      code,
      exitCode: 6,
      message: expect.stringContaining('while saving step-000001') as string,
      hint: expect.stringContaining('no checkpoint had been saved before') as string,
    });
  });

  test('a temporary directory that cannot be removed is named', async () => {
    await expect(saveCheckpoint(run, 1, content(1), { files: failing(4, 'ENOSPC', true).files })).rejects.toMatchObject(
      {
        code: 'DISK_FULL',
        hint: expect.stringMatching(/\.tmp-step-000001-\d+ could not be removed/) as string,
      },
    );
  });

  test('SIGKILL of a saving process', async () => {
    const script = `
      import { saveCheckpoint } from ${JSON.stringify(new URL('../../../core/io/checkpoint.ts', import.meta.url).href)};
      for (let step = Number(process.argv[2]); ; step++) {
        const data = new Float32Array(200_000).fill(step);
        await saveCheckpoint(process.argv[1], step, { weights: new Map([['w', { shape: [200_000], data }]]), state: { step } }, { keep: 2 });
        console.log(step);
      }`;
    let last = 0;
    for (let round = 0; round < 4; round++) {
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', script, run, String(last + 1)],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      await once(child.stdout, 'data');
      await new Promise((wait) => setTimeout(wait, 13 * round + 5));
      child.kill('SIGKILL');
      await once(child, 'close');
      const { path, step, skipped } = await newestGood(run);
      expect(skipped).toEqual([]);
      expect(step).toBeGreaterThan(last);
      expect((await loadCheckpoint(path)).weights.get('w')?.data[0]).toBe(step);
      last = step;
    }
  });
});
