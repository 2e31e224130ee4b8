import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type StartEvent, z } from '../../core/plugin.ts';

const schema = z.object({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  name: z.string(),
  startedAt: z.number(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
});

/** What trackers are told of a run as a whole. */
export interface TrackedRun extends z.output<typeof schema> {
  readonly directory: string;
}

/** The run that starts or goes on: its id and the time of its first session stay what they were. */
export function beginRun({ preset, directory, settings = {} }: StartEvent): TrackedRun {
  const before = knownRun(directory);
  const run = {
    id: before?.id ?? randomUUID().replaceAll('-', '').slice(0, 16),
    name: preset,
    startedAt: before?.startedAt ?? Date.now() / 1000,
    settings,
  };
  mkdirSync(join(directory, 'trackers'), { recursive: true });
  const path = pathIn(directory);
  writeFileSync(`${path}.tmp`, JSON.stringify(run, undefined, 2));
  renameSync(`${path}.tmp`, path);
  return { ...run, directory };
}

/** The run as its last session has described it; undefined when no tracker has been told of it, or what was written is no description. */
export function knownRun(directory: string): TrackedRun | undefined {
  const path = pathIn(directory);
  if (!existsSync(path)) return undefined;
  const read = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  return read.success ? { ...read.data, directory } : undefined;
}

function pathIn(directory: string): string {
  return join(directory, 'trackers', 'run.json');
}
