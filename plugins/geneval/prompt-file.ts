/** Prompts in GenEval's form that others have made: JSON Lines with tag, include and prompt. */
import { exitCodes, readTextRows, ReasongenError, z } from '../../core/plugin.ts';
import { positions, type Ontology } from './ontology.ts';
import type { GenevalItem } from './prompts.ts';

const count = z.number().int().positive();

/** A line as it is written; whether an ontology knows its words is another question. */
export const itemSchema = z.object({
  tag: z.string().min(1),
  include: z
    .array(
      z.object({
        class: z.string().min(1),
        count,
        color: z.string().optional(),
        position: z.tuple([z.enum(positions), z.number().int().nonnegative()]).optional(),
      }),
    )
    .min(1),
  exclude: z.array(z.object({ class: z.string().min(1), count })).optional(),
  prompt: z.string().min(1),
});

/** Throws BAD_PROMPT_LINE with the place of a line that is no prompt of this form, or speaks of what the ontology does not know. */
export async function readGenevalFile(path: string, ontology: Ontology): Promise<GenevalItem[]> {
  const rows = await readTextRows(path, 'prompt');
  return rows.map(({ columns, text, place }) => {
    const parsed = itemSchema.safeParse({ ...columns, prompt: text });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw badLine(place, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
    }
    const item = parsed.data as GenevalItem;
    const mentioned = [...item.include, ...(item.exclude ?? [])];
    const strange = mentioned.find((each) => !ontology.classes.includes(each.class));
    if (strange !== undefined) throw badLine(place, `there is no class "${strange.class}"`);
    const painted = item.include.find(({ color }) => color !== undefined && !ontology.colors.includes(color));
    if (painted !== undefined) throw badLine(place, `there is no color "${painted.color}"`);
    item.include.forEach(({ position }, index) => {
      if (position !== undefined && position[1] >= index) throw badLine(place, 'a position names a later clause');
    });
    return item;
  });
}

function badLine(place: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_PROMPT_LINE',
    message: `this line is no prompt of GenEval's form: ${why}`,
    place,
    hint: 'a line is {"tag": ..., "include": [{"class": ..., "count": 1, "color": ..., "position": ["left of", 0]}], "prompt": ...}',
    exitCode: exitCodes.badPreset,
  });
}
