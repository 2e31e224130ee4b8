/** Options of a reward that is a verdict by questions, whoever answers them. */
import { z } from '../preset/zod.ts';
import { decomposingInstruction } from './atomic.ts';

/** To be spread into the options of such a reward. */
export const questionOptions = {
  mode: z
    .enum(['boxed', 'graded', 'decomposed'])
    .default('boxed')
    .describe(
      'boxed: it reasons and ends with a number in \\boxed{}, as published; graded: the probability of yes against no; decomposed: that of every single thing the prompt demands',
    ),
  instruction: z
    .string()
    .includes('{prompt}')
    .optional()
    .describe(
      'what is asked in the modes boxed and graded; {prompt} stands for the prompt. An own one for boxed must ask for \\boxed{} at the end',
    ),
  partial: z
    .boolean()
    .default(false)
    .describe('boxed: any number from 0 to 1 counts; as published only 0 and 1 do, and any other is no verdict'),
  decomposing: z
    .string()
    .includes('{prompt}')
    .default(decomposingInstruction)
    .describe(
      'how questions are asked for, once a prompt, where its specification does not give them; {prompt} stands for the prompt',
    ),
  aggregate: z
    .enum(['product', 'mean', 'geometric-mean'])
    .default('product')
    .describe('how the answers of the mode decomposed become one number'),
  bothOrders: z
    .boolean()
    .default(false)
    .describe('graded and decomposed: every question is asked with "yes or no" and "no or yes", and the mean counts'),
  unparsed: z
    .enum(['none', 'zero'])
    .default('none')
    .describe(
      'an answer without a verdict: none, so that `onNoVerdict` says what follows, or 0 as ReasonGen-R1 counted it',
    ),
};
