/** An address that a server of this program listens on. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { isLoopbackName } from './access.ts';
import { exitCodes, ReasongenError } from './errors.ts';

/** Answers a request, as `fetch` of a Hono does. */
export type Answering = (request: Request) => Response | Promise<Response>;

/** Listens on the first of the ports that is free. `answering` is told the port that was asked for. Throws CANNOT_LISTEN. */
export async function listen(
  answering: (port: number) => Answering,
  hostname: string,
  ports: readonly number[],
): Promise<Server> {
  for (const port of ports) {
    const server = await new Promise<Server | undefined>((resolve, reject) => {
      const made = serve({ fetch: answering(port), hostname, port }, () => resolve(made)) as Server;
      made.once('error', (cause: NodeJS.ErrnoException) => {
        if (cause.code === 'EADDRINUSE' && ports.length > 1) resolve(undefined);
        else reject(cannotListen(hostname, port, cause));
      });
    });
    if (server !== undefined) return server;
  }
  throw cannotListen(hostname, ports[0] ?? 0, undefined);
}

/** `http://localhost:8750` of a server that listens on `host`: by a name under which it can be asked from here. */
export function addressOf(server: Server, host: string): { readonly address: string; readonly port: number } {
  const { port } = server.address() as AddressInfo;
  const isHere = isLoopbackName(host) || /^(0\.0\.0\.0|::)$/.test(host);
  const name = isHere ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return { address: `http://${name}:${port}`, port };
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException | undefined): ReasongenError {
  const isTaken = cause === undefined || cause.code === 'EADDRINUSE';
  return new ReasongenError({
    code: 'CANNOT_LISTEN',
    message: isTaken ? `port ${port} is taken` : `this address cannot be listened on (${cause.code ?? cause.message})`,
    place: `${host}:${port}`,
    hint: isTaken
      ? 'choose another: --port 9000; --port 0 takes any that is free'
      : 'choose an address of this machine: --host 127.0.0.1; 0.0.0.0 is all of them',
    exitCode: exitCodes.failure,
    cause,
  });
}
