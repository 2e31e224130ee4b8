/** Starts the live page of a run beside it. */
import { extname } from 'node:path';
import { ReasongenError } from '../errors.ts';
import { forked } from '../forked.ts';
import type { WatchOptions } from './server.ts';

export type PageReply =
  | { readonly address: string }
  | {
      readonly error: { readonly [Field in 'code' | 'message' | 'place' | 'hint']: string | undefined } & {
        readonly exitCode: number;
      };
    };

export interface PageBeside {
  readonly address: string;
  close(): void;
}

/** Throws what the server throws, before the run begins. */
export async function startBeside(question: WatchOptions): Promise<PageBeside> {
  const child = forked(new URL(`process${extname(import.meta.url)}`, import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const answer = await new Promise<PageReply>((resolve, reject) => {
    child.once('message', (message: PageReply) => resolve(message));
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(
        new ReasongenError({
          code: 'NO_PAGE',
          message: `the process of the live page ended with exit code ${code}`,
          hint: 'run without --watch, and beside it: npx reasongen watch',
        }),
      ),
    );
    child.send(question);
  });
  child.removeAllListeners('exit');
  if ('error' in answer) {
    // Made and worded there.
    throw Object.assign(new ReasongenError({ code: 'NO_PAGE', message: 'there is no page' }), answer.error);
  }
  // The run does not wait for its page.
  child.unref();
  child.channel?.unref();
  return {
    address: answer.address,
    close() {
      if (child.connected) child.disconnect();
    },
  };
}
