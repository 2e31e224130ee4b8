/** One prompt in several wordings, so that a model learns what is asked for and not how. */
import { defineExtension, z } from '../../core/plugin.ts';

const template = z.string().refine((text) => text.includes('{prompt}'), 'write {prompt} where the prompt goes');

export const promptTemplates = defineExtension({
  name: 'prompt-templates',
  summary: 'puts the prompts of every training step into templates, one after the other',
  options: z.strictObject({
    templates: z
      .array(template)
      .min(1)
      .describe('texts with {prompt}; `{prompt}` alone leaves it as it is. A longer prompt must fit promptTokens'),
  }),
  create: ({ templates }) => ({
    // By step and place alone: a resumed run words its prompts as one that was never stopped.
    batch: ({ step, items }) => ({
      step,
      items: items.map((item, index) => {
        const text = templates[(step + index) % templates.length] ?? '{prompt}';
        return { ...item, prompt: text.replaceAll('{prompt}', () => item.prompt) };
      }),
    }),
  }),
});
