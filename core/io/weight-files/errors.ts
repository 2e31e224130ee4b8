import { exitCodes, ReasongenError } from '../../errors.ts';

/** A file of weights that cannot be trusted or read: which file, what about it, and what to do. */
export function badWeights(
  file: string,
  message: string,
  hint = 'copy or download the file again',
  cause?: unknown,
): ReasongenError {
  return new ReasongenError({ code: 'BAD_WEIGHTS', message, place: file, hint, exitCode: exitCodes.disk, cause });
}
