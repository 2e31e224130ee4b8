/** The process above this one (`setup/launch.mjs`), which explains how it ended. There is none where the program is embedded. */
import type { Environment } from './environment.ts';

/** What it is told of a run that has begun, should this process be killed. */
export interface ToldSupervisor {
  readonly directory: string;
  /** The command by which the run is gone on with. */
  readonly goOn: string;
}

export function tellSupervisor(environment: Environment, told: ToldSupervisor): void {
  if (isSupervised(environment) && process.connected) process.send?.(told);
}

/** Calls `act` when it is gone, now or later. Returns how to stop waiting. */
export function onLostSupervisor(environment: Environment, act: () => void): () => void {
  if (!isSupervised(environment)) return () => {};
  if (!process.connected) act();
  process.once('disconnect', act);
  return () => void process.off('disconnect', act);
}

function isSupervised(environment: Environment): boolean {
  return environment['REASONGEN_SUPERVISED'] === '1';
}
