/** A redis-server of a test's own: on a free port of this machine, in a folder of its own, with an append-only file. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { findRedis, redisHint } from './redis.mjs';

export class RedisServer {
  readonly port: number;
  private readonly folder = mkdtempSync(join(tmpdir(), 'reasongen-redis-'));
  private readonly settings: readonly string[];
  private child: ChildProcess | undefined;

  private constructor(port: number, settings: readonly string[]) {
    this.port = port;
    this.settings = settings;
  }

  /** `settings`: further arguments, `['--requirepass', 'x']`. */
  static async start(settings: readonly string[] = []): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), settings);
    await server.begin();
    return server;
  }

  /** With nothing but TLS, and a certificate that nobody has signed. */
  static async startTls({ certificate, key }: SelfSigned, settings: readonly string[] = []): Promise<RedisServer> {
    const port = await freePort();
    const tls = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no'];
    const server = new RedisServer(port, ['--port', '0', '--tls-port', String(port), ...tls, ...settings]);
    await server.begin();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, again after `kill`, with what its append-only file holds. */
  async begin(): Promise<void> {
    const child = spawn(
      findRedis() ?? 'redis-server',
      [
        ...['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder],
        ...['--appendonly', 'yes', '--save', '', ...this.settings],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        said += String(chunk);
        if (/ready to accept connections/i.test(said)) resolve();
      });
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`redis-server ended with ${code}: ${said}`)));
    });
  }

  /** SIGKILL: nothing is written any more. */
  async kill(): Promise<void> {
    if (this.child === undefined || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

/** Files. */
export interface SelfSigned {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate for 127.0.0.1, made by openssl; undefined where there is none. */
export function selfSigned(folder: string): SelfSigned | undefined {
  const [certificate, key] = [join(folder, 'certificate.pem'), join(folder, 'key.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-days', '2'],
    ...['-subj', '/CN=reasongen', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  if (made.error !== undefined) return undefined;
  if (made.status !== 0) throw new Error(`openssl: ${String(made.stderr)}`);
  return { certificate, key };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Tests that take a Redis: passed over, and said to be, where there is none. */
export function describeWithRedis(name: string, tests: () => void): void {
  const isMissing = findRedis() === undefined;
  if (isMissing) process.stderr.write(`${redisHint}\n`);
  describe.skipIf(isMissing)(`${name}${isMissing ? ` (${redisHint})` : ''}`, () => {
    tests();
  });
}
