/** Keys of a preset that the runtime reads itself of every component of a slot: no option of a component may be called so. */
import type { Slot } from '../contracts/slots.ts';
import { folderPath } from './input-file.ts';
import { z } from './zod.ts';

const byError = 'What its failure means for the run.';

/** Policies of calls to something outside of the run: a server, another process. The runtime keeps them; absent means its default. */
const calls = {
  atOnce: z.int().positive().optional().meta({ default: 8, description: 'Calls under way at a time.' }),
  timeout: z.number().positive().optional().meta({ default: 120, description: 'Seconds a call may take.' }),
  retries: z.int().min(0).optional().meta({
    default: 7,
    description:
      'How often a call that failed for a passing reason is made again, after pauses from a second to a minute, or as long as the other side asks.',
  }),
  perMinute: z.number().positive().optional().describe('Calls begun in a minute at most.'),
  budget: z
    .strictObject({
      requests: z.int().positive().optional().describe('Calls at most.'),
      tokens: z.int().positive().optional().describe('Tokens read and written at most, where the judge counts them.'),
    })
    .optional()
    .describe('What a session of the run may spend; it stops when that is spent, and can be resumed.'),
  cache: folderPath(['off'])
    .optional()
    .describe("Folder in which answers are kept, or off; judgements/ in the user's cache unless told."),
};

const byWorkers = z.boolean().optional().meta({
  default: false,
  description: 'Workers answer for it, under the policies of this entry: see `executor`.',
});

const { retries: _, ...withoutRetries } = calls;

/** By slot. Checking, `show`, settings and the schema for editors follow from it; `ComponentChoice` has a field for each. */
const shapes = {
  judge: z.strictObject({ ...calls, byWorkers }),
  benchmark: z.strictObject({ byWorkers }),
  reward: z.strictObject({
    weight: z.number().default(1).describe('Share in the total.'),
    onError: z.enum(['fail', 'drop', 'ignore']).optional().meta({ default: 'fail', description: byError }),
    retries: z.int().min(0).optional().meta({
      default: 0,
      description:
        'How often it is asked again after a failure; where it calls a server itself, how often each call is made again, 7 times unless told.',
    }),
    onNoVerdict: z.enum(['drop', 'group-mean', 'fail']).optional().meta({
      default: 'drop',
      description:
        'What becomes of a sample on which it has no verdict: left out of its group, the mean of its group, or the end of the run.',
    }),
    gate: z
      .boolean()
      .optional()
      .meta({ default: false, description: 'Its value multiplies the total; its weight says nothing then.' }),
    heldOut: z.boolean().optional().meta({ default: false, description: 'It is measured and never trained on.' }),
    schedule: z
      .array(z.tuple([z.int().min(0), z.number()]))
      .min(1)
      .refine(
        (points) => points.every(([step], index) => index === 0 || step > (points[index - 1]?.[0] ?? 0)),
        'steps must grow',
      )
      .optional()
      .describe(
        'Its weight by step, [[step, weight], …]: straight lines between, constant outside; instead of `weight`.',
      ),
    ...withoutRetries,
    byWorkers,
  }),
  extension: z.strictObject({
    onError: z.enum(['fail', 'warn']).optional().meta({ default: 'fail', description: byError }),
  }),
} satisfies Partial<Record<Slot, z.ZodObject>>;

const none = z.strictObject({});

/** What the runtime reads of a component of this slot, beside `use` and, in lists, `name`. */
export function commonKeys(slot: Slot): z.ZodObject {
  return Object.hasOwn(shapes, slot) ? shapes[slot as keyof typeof shapes] : none;
}
