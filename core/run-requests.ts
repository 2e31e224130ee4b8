/** What somebody asks of a run that goes on, as its recipe sees it: looked for once a step, between two steps. */
import type { Asked } from './contracts/recipe.ts';
import { exitCodes } from './errors.ts';
import { explainError } from './failure.ts';
import { takeRequests } from './io/requests.ts';
import type { Log } from './log.ts';
import type { RunStop } from './stop.ts';

const nothing: Asked = { save: false, prompts: [] };

/** The function `asked` of a rank that nobody asks anything. */
export const noRequests = (): Promise<Asked> => Promise.resolve(nothing);

/** The function `asked` of a run in `directory`. A request to stop is passed on to `stop`; what was asked before the run began is void. */
export async function listenForRequests(
  directory: string,
  stop: RunStop,
  log: Pick<Log, 'info' | 'warn'>,
): Promise<() => Promise<Asked>> {
  await takeRequests(directory);
  return async () => {
    try {
      const requests = await takeRequests(directory);
      if (requests.length === 0) return nothing;
      log.info(`asked for on the live page: ${requests.map(({ kind }) => kind).join(', ')}`);
      if (requests.some(({ kind }) => kind === 'stop'))
        stop.request('asked for on the live page', exitCodes.interrupted);
      return {
        save: requests.some(({ kind }) => kind === 'save'),
        prompts: requests.flatMap((request) => (request.kind === 'draw' ? request.prompts : [])),
      };
    } catch (error) {
      // Somebody's wish is no reason for a run to end.
      log.warn(`a request could not be read: ${explainError(error).message}`);
      return nothing;
    }
  };
}
