/** Whether the process that writes a run is at work: what its record and its lock say together. */
import { join } from 'node:path';
import { isHeld } from './lock.ts';
import type { RunRecord } from './records.ts';

/** `interrupted`: its last session has not ended and nobody holds its lock: the process was killed, the machine went down, or the folder is a copy. */
export type RunState = 'done' | 'stopped' | 'failed' | 'running' | 'interrupted';

export function runState(directory: string, { sessions }: Pick<RunRecord, 'sessions'>): RunState {
  return sessions.at(-1)?.outcome ?? (isHeld(join(directory, 'lock')) ? 'running' : 'interrupted');
}
