/**
 * Credit where it can be due. A verdict says nothing of the background, whose codes are many and alike: counted with the advantage of the whole picture they
 * are most of the noise of a gradient, and teach nothing.
 */
import { type AdvantagesEvent, defineExtension, weighTokens, z } from '../../core/plugin.ts';
import { parseRationale } from './rationale.ts';
import { canvasSize, cellSize } from './scene.ts';
import { createInspector } from './world.ts';

export const paintedCodes = defineExtension({
  name: 'painted-codes',
  summary: 'only codes of cells that the plan names or the picture paints count in the policy term',
  options: z.strictObject({
    otherWeight: z.number().nonnegative().default(0).describe('what the codes of the background count'),
  }),
  create: ({ otherWeight }) => {
    const inspect = createInspector();
    return {
      advantages: (event: AdvantagesEvent) =>
        weighTokens(event, ({ codes, entropy }, index) => {
          const sample = event.samples[index];
          if (sample === undefined) throw new RangeError('unreachable: every drawing has its sample');
          const planned = parseRationale(sample.rationale)?.objects.map(({ cell }) => cell) ?? [];
          const cells = new Set([...planned, ...inspect(sample).occupiedCells]);
          const side = Math.sqrt(codes.length);
          const perCell = (cellSize * side) / canvasSize;
          const ofCodes = Array.from(codes, (_, code) => {
            const cell = Math.floor(code / side / perCell) * 3 + Math.floor((code % side) / perCell);
            return cells.has(cell) ? 1 : otherWeight;
          });
          return [...Array<number>(entropy.length - codes.length).fill(1), ...ofCodes];
        }),
    };
  },
});
