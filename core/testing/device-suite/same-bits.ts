import { Tape } from '../../autograd/tape.ts';
import { Workspace } from '../../autograd/workspace.ts';
import { linear } from '../../ops/linear.ts';
import { randomFloats, relativeError } from '../arrays.ts';
import { productOf } from '../oracles.ts';
import type { DeviceCase } from './cases.ts';

/** Bits, not tolerances: a program that is run again gives the same, and a row does not depend on its batch. */
export const sameBits: readonly DeviceCase[] = [
  {
    op: 'same bits',
    form: 'a product run again, and its rows in smaller batches',
    run: async (device) => {
      const [columns, inner] = [96, 128];
      const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
      const values = randomFloats(70 * inner, 1);
      const rowsOf = async (rows: number, repeats: number): Promise<Float32Array> => {
        const workspace = new Workspace(device);
        const tape = new Tape(workspace);
        const x = device.tensor('x', [rows, inner], 'f32', values.slice(0, rows * inner));
        const out = tape.output(linear(tape, x, weight));
        const program = await tape.finish('product');
        for (let i = 0; i < repeats; i++) program.run();
        const read = await device.readFloats(out);
        program.dispose();
        workspace.close();
        device.destroyTensor(x);
        device.destroyTensor(out);
        return read;
      };
      const whole = await rowsOf(70, 1);
      for (const [rows, repeats] of [
        [70, 3],
        [40, 1],
        [17, 1],
        [8, 1],
        [3, 1],
        [1, 1],
      ] as const) {
        const part = await rowsOf(rows, repeats);
        const different = part.findIndex((value, index) => value !== whole[index]);
        if (different >= 0)
          throw new Error(
            `row ${Math.floor(different / columns)} differs when ${rows} rows are computed instead of 70 (run ${repeats} time${repeats === 1 ? '' : 's'})`,
          );
      }
      device.destroyTensor(weight);
      return { value: relativeError(whole, productOf(values, randomFloats(columns * inner, 2), inner)), gradient: 0 };
    },
  },
];
