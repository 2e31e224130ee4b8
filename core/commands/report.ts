import { exitCodes } from '../errors.ts';
import { writeReport } from '../report/report.ts';
import type { CommandContext } from './context.ts';

/** `report DIRECTORY`: makes report.html of a run or a chain from its records, also while it runs. */
export async function makeReport(directory: string, { write }: CommandContext): Promise<number> {
  write(`${await writeReport(directory)}\n`);
  return exitCodes.done;
}
