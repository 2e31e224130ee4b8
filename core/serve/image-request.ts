/** `POST /v1/images/generations`: OpenAI's request with what a reasoning generator knows beside it: seed, guidance and rationale. */
import { z } from '../preset/zod.ts';
import { badRequest } from './api-error.ts';
import type { DrawingChoice, DrawingsOptions } from './drawings.ts';

export const imageRequest = z.strictObject({
  prompt: z.string().trim().min(1),
  model: z.string().min(1).max(500).nullish(),
  n: z.int().min(1).nullish(),
  size: z.string().max(20).nullish(),
  response_format: z.literal('b64_json', 'this server answers with b64_json').nullish(),
  output_format: z.literal('png', 'this server answers with png').nullish(),
  quality: z.enum(['auto', 'standard', 'high', 'medium', 'low', 'hd']).nullish(),
  background: z.enum(['auto', 'opaque'], 'pictures are opaque').nullish(),
  stream: z.literal(false, 'pictures are not streamed').nullish(),
  user: z.string().max(1000).nullish(),
  // Beyond OpenAI's.
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  guidance: z.number().gt(0).max(100).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  rationale: z.union([z.boolean(), z.string().trim().min(1)]).nullish(),
});

export type ImageRequest = z.output<typeof imageRequest>;

export interface ImageSettings extends DrawingChoice {
  readonly prompt: string;
  readonly count: number;
}

/** @param freshSeed the seed of a request that names none */
export function imageSettings(
  request: ImageRequest,
  { options, size }: { readonly options: DrawingsOptions; readonly size: Readonly<Record<'width' | 'height', number>> },
  limits: { readonly choices: number },
  freshSeed: () => number,
): ImageSettings {
  const { prompt, n, seed, guidance, temperature, rationale } = request;
  const own = `${size.width}x${size.height}`;
  if (typeof request.size === 'string' && request.size !== 'auto' && request.size !== own)
    throw badRequest(`this model draws ${own}`, 'size');
  const count = n ?? 1;
  if (count > limits.choices) throw badRequest(`this server draws at most ${limits.choices} pictures of a prompt`, 'n');
  const writes = rationale ?? options.rationale;
  return {
    prompt,
    count,
    rationale: typeof writes === 'string' ? { given: writes } : writes ? 'write' : 'skip',
    seed: seed ?? freshSeed(),
    guidance: guidance ?? options.guidance,
    temperature: temperature ?? options.imageTemperature,
  };
}
