/** Tells a chat of warnings and that a run has ended: nobody watches one for a night. */
import { defineExtension, readKey, z } from '../../core/plugin.ts';
import type { Entry, Send } from './outbox.ts';
import { postTo } from './server.ts';
import type { TrackedRun } from './tracked-run.ts';
import { patienceOption, tracker } from './tracker.ts';

export const notify = defineExtension({
  name: 'notify',
  summary: 'posts warnings and the end of the run to a webhook: Slack, Mattermost, Discord, or a program of yours',
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
      warnings: z.boolean().default(true).describe('whether it is told of warnings, too'),
      patience: patienceOption,
    })
    .refine(({ url, variable }) => (url === undefined) !== (variable === undefined), 'give `url` or `variable`'),
  create: ({ url, variable, field, warnings, patience: seconds }, { log }) => {
    // An address from a variable is itself the secret, whatever it begins with.
    const address = url ?? readKey(variable ?? '', 'https://localhost');
    if (address === undefined || !URL.canParse(address)) {
      log.warn(`nobody will be notified: ${variable} holds no address`);
      return {};
    }
    const connect =
      (run: TrackedRun): Send =>
      async (entries, signal) => {
        const texts = entries.flatMap((entry) => textOf(entry, run, warnings));
        for (const text of texts) await postTo(address, { [field]: text }, signal);
      };
    return tracker({ name: 'notify', log, patience: seconds, connect, metrics: false, atOnce: 1 });
  },
});

function textOf(
  { warning, outcome, message, step }: Entry,
  { name, directory }: TrackedRun,
  tellsWarnings: boolean,
): string[] {
  if (warning !== undefined) return tellsWarnings ? [`run ${name}, step ${step}: ${warning}`] : [];
  if (outcome === undefined) return [];
  return [`run ${name} is ${outcome} (${directory})${message === undefined ? '' : `: ${message}`}`];
}
