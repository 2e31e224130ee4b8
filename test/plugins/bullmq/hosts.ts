/** Hosts on one machine: network namespaces with a bad line between them, for tests of what a network may do. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../../support/debian-program.mjs';

export interface Line {
  /** Seconds that a packet takes in each direction. */
  readonly delay: number;
  /** Share of packets that are lost. */
  readonly loss: number;
}

/** Why this machine cannot have such hosts; undefined where it can. */
export function hostsHint(): string | undefined {
  const missing = ['ip', 'perl'].filter((name) => findProgram([name], process.env['PATH']) === undefined);
  if (missing.length > 0) return `${missing.join(' and ')} missing (Debian: iproute2, perl)`;
  if (process.getuid?.() !== 0) return 'it takes root to make network namespaces';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  const made = spawnSync('ip', ['netns', 'add', `reasongen-try-${process.pid}`]);
  if (made.status !== 0) return `no network namespace can be made: ${String(made.stderr).trim()}`;
  spawnSync('ip', ['netns', 'delete', `reasongen-try-${process.pid}`]);
  return undefined;
}

export class Hosts {
  private readonly router: ChildProcess;
  private readonly names: readonly string[];
  private said = '';

  private constructor(router: ChildProcess, names: readonly string[]) {
    this.router = router;
    this.names = names;
    router.stdout?.on('data', (chunk) => (this.said += String(chunk)));
  }

  static async open(names: readonly string[], { delay, loss }: Line): Promise<Hosts> {
    const device = (name: string): string => `rg${process.pid % 100_000}${name.slice(0, 1)}`;
    const address = (index: number): string => `10.77.0.${index + 1}`;
    const ends = names.map((name, index) => `${device(name)}=${address(index)}`);
    const router = spawn('perl', [join(import.meta.dirname, 'lossy-router.pl'), String(delay), String(loss), ...ends], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const hosts = new Hosts(router, names);
    while (!hosts.said.includes('ready')) {
      if (router.exitCode !== null) throw new Error('the router between the hosts did not start');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const [index, name] of names.entries()) {
      const space = hosts.space(name);
      ip('netns', 'add', space);
      // Who holds a TUN device open keeps it, wherever it is moved to.
      ip('link', 'set', device(name), 'netns', space);
      ip('-n', space, 'link', 'set', 'lo', 'up');
      ip('-n', space, 'address', 'add', `${address(index)}/24`, 'dev', device(name));
      ip('-n', space, 'link', 'set', device(name), 'up');
    }
    return hosts;
  }

  addressOf(name: string): string {
    return `10.77.0.${this.names.indexOf(name) + 1}`;
  }

  /** What stands before a command that is to run on this host. */
  on(name: string): readonly string[] {
    return ['ip', 'netns', 'exec', this.space(name)];
  }

  cut(): void {
    this.router.kill('SIGUSR1');
  }

  mend(): void {
    this.router.kill('SIGUSR2');
  }

  /** Packets that were carried, and those that were lost. */
  async close(): Promise<{ readonly carried: number; readonly lost: number }> {
    const ended = once(this.router, 'close');
    this.router.stdin?.end();
    await ended;
    for (const name of this.names) ip('netns', 'delete', this.space(name));
    const [, carried, lost] = /carried (\d+), lost (\d+)/.exec(this.said) ?? [];
    return { carried: Number(carried), lost: Number(lost) };
  }

  private space(name: string): string {
    return `reasongen-${process.pid}-${name}`;
  }
}

function ip(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args);
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${String(stderr).trim()}`);
}
