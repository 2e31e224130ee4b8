/** Keys of a preset that the runtime reads itself of every component of a slot: no option of a component may be called so. */
import type { Slot } from '../contracts/slots.ts';
import { z } from './zod.ts';

const byError = 'What its failure means for the run.';

/** By slot. Checking, `show`, settings and the schema for editors follow from it; `ComponentChoice` has a field for each. */
const shapes = {
  reward: z.strictObject({
    weight: z.number().default(1).describe('Share in the total.'),
    onError: z.enum(['fail', 'drop', 'ignore']).optional().meta({ default: 'fail', description: byError }),
    retries: z
      .int()
      .min(0)
      .optional()
      .meta({ default: 0, description: 'How often it is asked again after a failure.' }),
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
