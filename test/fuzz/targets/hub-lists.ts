/** A hub's lists of files. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { ReasongenError } from '../../../core/errors.ts';
import { HubClient } from '../../../core/io/hub/client.ts';
import { BrokenTransfer } from '../../../core/io/hub/persistence.ts';
import { commit } from '../../support/hub.ts';
import type { FuzzTarget } from '../harness.ts';

const list = (...siblings: readonly object[]): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ sha: commit, siblings }));

let body: Uint8Array = new Uint8Array();
const server = createServer((_, response) => response.end(body));

const target: FuzzTarget = {
  ending: '.json',
  seeds: async () => {
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    server.unref();
    return [
      list({ rfilename: 'config.json', size: 22, blobId: commit }, { rfilename: 'a/b.txt', size: 0, blobId: commit }),
      list({
        rfilename: 'model.safetensors',
        size: 9,
        blobId: commit,
        lfs: { sha256: 'ab'.repeat(32), size: 9, pointerSize: 134 },
      }),
    ];
  },
  read: async (bytes) => {
    body = bytes;
    const client = new HubClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const { files } = await client.list({ id: 'owner/name', revision: 'main' }).catch((error: unknown) => {
      // Whoever pulls tries again, and says this at last.
      if (error instanceof BrokenTransfer) throw new ReasongenError({ code: 'BROKEN', message: error.message });
      throw error;
    });
    for (const { path, size, hash } of files) {
      const inside = resolve('/cache', path);
      if (join('/cache', path) !== inside || !inside.startsWith('/cache/') || size < 0 || !/^[0-9a-f]+$/.test(hash.hex))
        throw new Error(`a file at ${path}`);
    }
  },
};
export default target;
