/** A server that keeps what it is told and answers as it is told to, and a run that tells it. */
import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from '../../../core/contracts/slots.ts';
import { createHooks, type Hooks } from '../../../core/hooks.ts';
import { silentLog } from '../../../core/log.ts';
import type { Extension } from '../../../core/plugin.ts';
import trackers from '../../../plugins/trackers/index.ts';

export interface Heard {
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the server says to a request. */
export interface Said {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StandIn {
  readonly url: string;
  readonly heard: Heard[];
  say: (heard: Heard) => Said | undefined;
}

/** @param say what it answers; undefined: nothing, ever */
export async function withServer(say: StandIn['say'], work: (server: StandIn) => Promise<void>): Promise<void> {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (piece: Buffer) => (text += piece.toString()));
    request.on('end', () => {
      const one = { path: request.url ?? '', headers: request.headers, body: JSON.parse(text) as Heard['body'] };
      heard.push(one);
      const said = standIn.say(one);
      if (said === undefined) return;
      response.writeHead(said.status ?? 200, { 'content-type': 'application/json', ...said.headers });
      response.end(typeof said.body === 'string' ? said.body : JSON.stringify(said.body ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const standIn: StandIn = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, say };
  try {
    await work(standIn);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

export async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'reasongen-trackers-'));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The hooks of a session that has one tracker, and what it warns of. */
export async function session(
  name: string,
  options: object,
): Promise<{ readonly hooks: Hooks; readonly said: string[] }> {
  const component = trackers.provides.find((each) => each.name === name);
  if (component === undefined) throw new Error(`no tracker ${name}`);
  const said: string[] = [];
  const scope = { log: { ...silentLog(), warn: (text: string) => void said.push(text) } } as unknown as Scope;
  const extension = (await component.create(component.options.parse(options), scope)) as Extension;
  return { hooks: createHooks([{ name, extension }]), said };
}

/** Waits until something holds. */
export async function until(holds: () => boolean, seconds = 10): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !holds();) {
    if (Date.now() > end) throw new Error('it did not come about in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
