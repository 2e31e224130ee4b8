/** The option of recipes that says how products with weights, of linear layers and convolutions, and attention are computed. */
import { precisions } from '../gpu/matrix-products.ts';
import { z } from '../preset/zod.ts';

export const precisionOption = {
  precision: z
    .enum(precisions)
    .default('f32')
    .describe(
      'how products with weights, convolutions among them, and attention are computed: f32, or on tensor cores, as f16 or with each operand in two f16 (f32-split, near f32); sums and weights are f32 in all of them',
    ),
};
