/** Tells a chat that a run has ended: nobody watches one for a night. */
import { defineExtension, readKey, reasonOf, request, z } from '../../core/plugin.ts';

/** Milliseconds; a run that has ended waits no longer for a chat. */
const patience = 10_000;

export const notify = defineExtension({
  name: 'notify',
  summary: 'posts to a webhook when the run has ended: Slack, Mattermost, Discord, or a program of yours',
  options: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/ })
        .optional()
        .describe('address of the webhook'),
      variable: z
        .string()
        .min(1)
        .optional()
        .describe('environment variable that holds the address, where that is a secret'),
      field: z
        .string()
        .min(1)
        .default('text')
        .describe('field of the JSON that holds the message: `content` for Discord'),
    })
    .refine(({ url, variable }) => (url === undefined) !== (variable === undefined), 'give `url` or `variable`'),
  create: ({ url, variable, field }, { log }) => {
    let name = '';
    // An address from a variable is itself the secret, whatever it begins with.
    const address = url ?? readKey(variable ?? '', 'https://localhost');
    if (address === undefined || !URL.canParse(address)) {
      log.warn(`nobody will be notified: ${variable} holds no address`);
      return {};
    }
    return {
      start: ({ preset }) => {
        name = preset;
      },
      // That nobody could be told decides nothing about the run.
      finish: async ({ outcome, directory, error }) => {
        const why = error === undefined ? '' : `: ${reasonOf(error)}`;
        const body = JSON.stringify({ [field]: `run ${name} is ${outcome} (${directory})${why}` });
        try {
          const { ok, status } = await request(address, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body,
            signal: AbortSignal.timeout(patience),
          });
          if (!ok) log.warn(`the webhook of notify answered with status ${status}`);
        } catch (cause) {
          log.warn(`nobody was notified: ${reasonOf(cause)}`);
        }
      },
    };
  },
});
