/** One process at a time: who gets the lock of a run, and what the dead have left beside it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openRun, tidyRun } from '../../../core/io/run-directory.ts';
import { start, useRuns } from '../../support/quick-run.ts';

useRuns();

describe('lock', { timeout: 30_000 }, () => {
  test('two at a time is one too many', async () => {
    const run = await start();
    await expect(openRun(run.path, [])).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      exitCode: 6,
      message: `process ${process.pid} on ${hostname()} is writing this run`,
    });
    await run.close('done');
    await (await openRun(run.path, [])).close('done');
    expect(await readdir(run.path)).not.toContain('lock');
  });

  test('of a process that is gone is taken over, of a living one or another machine not', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '');
    const processStart = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    const holder = { id: 'other', pid: child.pid, host: hostname(), processStart };
    await writeFile(lock, JSON.stringify(holder));
    await expect(openRun(run.path, [])).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    if (stat !== '') {
      // The number is in use again, by a later process.
      await writeFile(lock, JSON.stringify({ ...holder, processStart: '1' }));
      await (await openRun(run.path, [])).close('done');
    }
    child.kill('SIGKILL');
    await once(child, 'close');
    await writeFile(lock, JSON.stringify(holder));
    await (await openRun(run.path, [])).close('done');
    await writeFile(lock, JSON.stringify({ ...holder, host: 'elsewhere' }));
    await expect(openRun(run.path, [])).rejects.toThrow('on elsewhere is writing this run');
    expect((await readdir(run.path)).filter((name) => /^lock./.test(name))).toEqual([]);
  });

  test.runIf(existsSync('/proc/self/stat'))(
    'of a process that has ended and is only waited for is taken over',
    async () => {
      const run = await start();
      await run.close('done');
      // The shell might ask how its child has ended; what becomes of it before the end never does.
      const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'] });
      const [said] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(String(said));
      const fields = async (): Promise<string[]> => {
        const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
        return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      };
      await expect.poll(async () => (await fields())[0], { timeout: 5000 }).toBe('Z');
      const holder = { id: 'other', pid, host: hostname(), processStart: (await fields())[19] };
      await writeFile(join(run.path, 'lock'), JSON.stringify(holder));
      await (await openRun(run.path, [])).close('done');
      parent.kill();
    },
  );

  test('of another machine or container is taken over after minutes without a sign of life', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    const others = [
      { host: 'elsewhere' },
      { boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), processSpace: 'pid:[1]' },
    ];
    for (const other of others) {
      const holder = { id: 'other', pid: 1, host: hostname(), processStart: '1', ...other };
      await writeFile(lock, JSON.stringify(holder));
      const recent = new Date(Date.now() - 60_000);
      await utimes(lock, recent, recent);
      await expect(openRun(run.path, [])).rejects.toMatchObject({
        code: 'RUN_LOCKED',
        hint: expect.stringMatching(
          /last sign of life was (59|60|61) s ago, and after 300 s it counts as gone/,
        ) as string,
      });
      const old = new Date(Date.now() - 301_000);
      await utimes(lock, old, old);
      await (await openRun(run.path, [])).close('done');
    }
  });

  test('of an earlier start of this system is taken over at once', async () => {
    const run = await start();
    await run.close('done');
    const holder = { id: 'x', pid: process.pid, host: hostname(), processStart: '1', boot: 'earlier' };
    await writeFile(join(run.path, 'lock'), JSON.stringify(holder));
    const opened = await openRun(run.path, []);
    expect(opened.path).toBe(run.path);
    await opened.close('done');
  });

  test.each(['', '{', '{"pid":7', 'null', '[]', '{"pid":-1,"host":"x"}', '{"pid":"7"}', '\0\0\0\0', 'x'.repeat(5000)])(
    'that a kill left empty or torn shuts nothing for ever: %j',
    async (content) => {
      const run = await start();
      await run.close('done');
      for (const name of ['lock', 'lock.takeover']) {
        await writeFile(join(run.path, name), content);
        // Old enough, so that nobody is about to write it.
        await utimes(join(run.path, name), new Date(0), new Date(0));
      }
      await (await openRun(run.path, [])).close('done');
      expect((await readdir(run.path)).filter((name) => name.startsWith('lock'))).toEqual([]);
    },
  );

  test('that was torn a moment ago is looked at twice', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    await writeFile(lock, '');
    const opening = openRun(run.path, []);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writeFile(lock, JSON.stringify({ id: 'y', pid: 1, host: 'elsewhere', processStart: '' }));
    await expect(opening).rejects.toThrow('on elsewhere is writing this run');
    await writeFile(lock, '');
    await (await openRun(run.path, [])).close('done');
  });

  test('a torn lock goes to exactly one of many, and so does one whose guard is torn, too', async () => {
    const run = await start();
    await run.close('done');
    for (const names of [['lock'], ['lock', 'lock.takeover']]) {
      for (const name of names) {
        await writeFile(join(run.path, name), '');
        await utimes(join(run.path, name), new Date(0), new Date(0));
      }
      const opened = await Promise.allSettled(Array.from({ length: 6 }, () => openRun(run.path, [])));
      const winners = opened.filter((result) => result.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const result of opened)
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'RUN_LOCKED' });
      await winners[0]?.value.close('done');
    }
  });

  test('a kill at its birth leaves no torn lock: it has its content from the first moment on', async () => {
    const run = await start();
    const seen = new Set<string>();
    await run.close('done');
    const lock = join(run.path, 'lock');
    for (let round = 0; round < 20; round++) {
      const opening = openRun(run.path, []);
      const state = { isOpen: false };
      void opening.then(() => (state.isOpen = true));
      while (!state.isOpen) {
        if (existsSync(lock)) seen.add(readFileSync(lock, 'utf8').slice(-2));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await (await opening).close('done');
    }
    expect([...seen]).toEqual(['}\n']);
  });

  test('whoever gets it removes what killed processes were writing, and leaves what living ones write', async () => {
    const run = await start();
    await run.close('done');
    const dead = 2 ** 22 + 1;
    const left = [
      `.tmp-run.json-${dead}`,
      `.tmp-metrics.ndjson-${dead}`,
      `.tmp-run.json-${process.pid}`,
      `evaluations/.tmp-a.json-${dead}`,
      `evidence/.tmp-a.jsonl-${dead}`,
      `samples/step-000010/.tmp-samples.jsonl-${dead}`,
      `evaluations/pictures/00000/samples/.tmp-0000.png-${dead}`,
      `.tmp-plugins-${dead}/swatches.ts`,
      `checkpoints/.tmp-step-000010-${dead}/weights.safetensors`,
      'checkpoints/.tmp-delete-step-000001/weights.safetensors',
      `lock.${randomUUID()}`,
      `lock.takeover.${randomUUID()}`,
    ];
    const alive = `.tmp-report.html-${process.ppid}`;
    for (const name of [...left, alive]) {
      await mkdir(join(run.path, name, '..'), { recursive: true });
      await writeFile(join(run.path, name), 'half');
    }
    await (await openRun(run.path, [])).close('done');
    const names = await readdir(run.path, { recursive: true });
    expect(names.filter((name) => /\.tmp-|lock/.test(name))).toEqual([alive]);
  });

  test('goes from a run that is done when somebody would go on with it', async () => {
    const run = await start();
    await run.close('done');
    const dead = 2 ** 22 + 1;
    await writeFile(
      join(run.path, 'lock'),
      JSON.stringify({ id: 'x', pid: dead, host: hostname(), processStart: '1' }),
    );
    await writeFile(join(run.path, `.tmp-report.html-${dead}`), 'half');
    await tidyRun(run.path);
    expect((await readdir(run.path)).filter((name) => /\.tmp-|lock/.test(name))).toEqual([]);
  });

  test('of a dead process goes to exactly one of many', async () => {
    const run = await start();
    await run.close('done');
    await writeFile(
      join(run.path, 'lock'),
      JSON.stringify({ id: 'x', pid: 2 ** 22 + 1, host: hostname(), processStart: '1' }),
    );
    const opened = await Promise.allSettled(Array.from({ length: 6 }, () => openRun(run.path, [])));
    const winners = opened.filter((result) => result.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    await winners[0]?.value.close('done');
  });
});
