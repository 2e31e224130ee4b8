/** The world a component works in: reading its prompts and inspecting its pictures. */
import { once, ReasongenError } from '../../core/plugin.ts';
import type { Sample } from '../../core/plugin.ts';
import { createDetector } from './detector.ts';
import type { Inspection } from './detector.ts';
import { parseRationale } from './rationale.ts';
import { canvasSize } from './scene.ts';
import { specificationSpace } from './specification.ts';
import type { Specification } from './specification.ts';
import { createSpriteSheet } from './sprites.ts';

// Each takes a few tenths of a second: made when a prompt or picture first needs it, and shared by every component of the process.
export const worldSpace = once(specificationSpace);
export const worldSheet = once(createSpriteSheet);
const worldDetector = once(() => createDetector(worldSheet()));

/**
 * What a sample's prompt demands; fails when the prompt is not one of this world's. The prompt is what counts, not the
 * recorded specification: in this world its wording determines it, so that a prompt typed by a user can be judged as well.
 */
export function createReader(): (sample: Sample) => Specification {
  return ({ prompt }) => {
    const specification = worldSpace().ofPrompt(prompt);
    if (specification) return specification;
    throw new ReasongenError({
      code: 'NANO_UNKNOWN_PROMPT',
      message: `"${prompt}" is not a prompt of the nano world, so it cannot be judged`,
      hint: 'ask for its objects in its words, for example "a photo of two cakes" or "a photo of a red car and a blue bird"',
    });
  };
}

/** What is in a sample's picture; fails when it has another size than this world's. */
export function createInspector(): (sample: Sample) => Inspection {
  return ({ id, image }) => {
    if (image.width === canvasSize && image.height === canvasSize) return inspectionOf(image.data);
    throw new ReasongenError({
      code: 'NANO_IMAGE_SIZE',
      message: `sample ${id} is ${image.width}x${image.height} pixels; the nano world's pictures are ${canvasSize}x${canvasSize}`,
      hint: 'use an image tokenizer whose pictures have that size',
    });
  };
}

/** Pictures of which it is known what is in them: more than a step draws. */
const mostKnown = 512;
const known = new Map<string, Inspection>();

/** By the bytes of a picture: every reward and the benchmark are asked about the same ones, and each is handed a copy of its own. */
function inspectionOf(data: Uint8Array): Inspection {
  const key = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
  const inspection = known.get(key) ?? worldDetector()(data);
  // The one that was asked about last stays longest.
  known.delete(key);
  known.set(key, inspection);
  const [oldest] = known.keys();
  if (known.size > mostKnown && oldest !== undefined) known.delete(oldest);
  return inspection;
}

/** 1 when the plan names exactly the cells that hold a sprite, 0 when not or when there is no readable plan. */
export function planAgreement(rationale: string, inspection: Inspection): number {
  const plan = parseRationale(rationale);
  if (!plan) return 0;
  const planned = [...new Set(plan.objects.map(({ cell }) => cell))].sort((a, b) => a - b);
  return Number(planned.join() === drawnCells(inspection).join());
}

/**
 * Cells that hold a sprite, ascending. Not the cells with paint in them: a codec leaves faint traces in its background, which
 * make no sprite (of 300 pictures that went through the nano codec, 57 % had such a cell, and 98 % passed the verdict).
 */
export function drawnCells({ detections }: Inspection): number[] {
  return [...new Set(detections.map(({ cell }) => cell))].sort((a, b) => a - b);
}
