/** Programs that get a share of the processor and no more: a quota of a control group, where the system lets us make one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Microseconds over which a quota counts. */
const period = 20_000;

export class CoreQuota {
  private readonly folder: string | undefined;

  /** `cores`: 0.5 is half of one. Without control groups there is no quota, and `isHeld` says so. */
  constructor(name: string, cores: number) {
    this.folder = make(`reasongen-${process.pid}-${name}`, cores);
  }

  get isHeld(): boolean {
    return this.folder !== undefined;
  }

  spawn(command: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const enter = this.folder === undefined ? '' : `echo $$ > ${this.folder}/cgroup.procs && `;
    return spawn('/bin/sh', ['-c', `${enter}exec "$0" "$@"`, command, ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  /** Once its programs have ended. */
  close(): void {
    if (this.folder !== undefined) rmdirSync(this.folder);
  }
}

function make(name: string, cores: number): string | undefined {
  for (const [root, write] of [
    ['/sys/fs/cgroup/cpu', writeFirst],
    ['/sys/fs/cgroup', writeSecond],
  ] as const) {
    const folder = join(root, name);
    try {
      mkdirSync(folder);
    } catch {
      continue;
    }
    try {
      write(folder, Math.round(cores * period));
      return folder;
    } catch {
      rmdirSync(folder);
    }
  }
  return undefined;
}

/** Version 1 of control groups. What is measured has its quota before all others have theirs. */
function writeFirst(folder: string, quota: number): void {
  writeFileSync(join(folder, 'cpu.shares'), String(2 ** 18));
  writeFileSync(join(folder, 'cpu.cfs_period_us'), String(period));
  writeFileSync(join(folder, 'cpu.cfs_quota_us'), String(quota));
}

function writeSecond(folder: string, quota: number): void {
  writeFileSync(join(folder, 'cpu.weight'), '10000');
  writeFileSync(join(folder, 'cpu.max'), `${quota} ${period}`);
}
