/** What all judges with a model of their own share. */
import { inputFile, z, type Judge, type JudgeCapability } from '../../core/plugin.ts';

/** A judge that certainly has these capabilities. */
export type JudgeThat<Capability extends JudgeCapability> = Judge & Required<Pick<Judge, Capability>>;

export const modelOption = (what: string): z.ZodString =>
  inputFile().describe(`folder of ${what}, or hub:OWNER/NAME after \`reasongen pull --include\``);

export const fileOption = z
  .string()
  .min(1)
  .optional()
  .describe('the file within the folder; onnx/model.onnx or the only one there unless told');

/** Sums differ in the last bits with the number of threads: it is a part of the fingerprint, and the same on every machine. */
export const threadsOption = z
  .number()
  .int()
  .min(1)
  .max(256)
  .default(2)
  .describe('threads of a model; part of what makes its numbers, so the same everywhere unless told');
