/**
 * `npm run soak:grpo -- [STEPS]`: GRPO for 300 steps unless told. What it holds after the first third, it holds at the end: memory of heap,
 * process and device, open files. Exit code 1 otherwise.
 */
import { growth, steadyGrpo } from './steady-grpo.ts';

const steps = Number(process.argv[2] ?? 300);
const { readings, adapter, seconds } = await steadyGrpo(steps, Math.max(1, Math.floor(steps / 12)));
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
for (const { step, heap, resident, device, files } of readings)
  process.stdout.write(
    `step ${step}: heap ${mebibytes(heap)}, process ${mebibytes(resident)}, device ${mebibytes(device)}, ${files} files open\n`,
  );
const first = readings[Math.floor(readings.length / 3)];
const last = readings.at(-1);
if (first === undefined || last === undefined) throw new RangeError('there is no step to look at');
const grown = growth(first, last);
process.stdout.write(
  `${steps} steps in ${seconds.toFixed(0)} s on ${adapter}: ${grown.length === 0 ? 'nothing grows' : grown.join('; ')}\n`,
);
process.exitCode = grown.length === 0 ? 0 : 1;
