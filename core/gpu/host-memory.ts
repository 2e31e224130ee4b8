/** Main memory that is left: what a software adapter, which has no other, may still take. */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Bytes the system can still give to this process: what the machine has left, and what its control group (container) allows. `root`: where /proc and /sys are. */
export function availableMemory(root = ''): number {
  if (process.platform !== 'linux') return freemem();
  const kibibytes = /^MemAvailable:\s+(\d+)/m.exec(read(`${root}/proc/meminfo`) ?? '')?.[1];
  const machine = kibibytes === undefined ? freemem() : Number(kibibytes) * 1024;
  return Math.min(machine, groupMemory(root) ?? machine);
}

/** What is left below the limit of the control group, version 2 or 1; page cache that is not in use counts as free. */
function groupMemory(root: string): number | undefined {
  for (const [folder, limitFile, usedFile, idle] of [
    [`${root}/sys/fs/cgroup`, 'memory.max', 'memory.current', /^inactive_file (\d+)/m],
    [`${root}/sys/fs/cgroup/memory`, 'memory.limit_in_bytes', 'memory.usage_in_bytes', /^total_inactive_file (\d+)/m],
  ] as const) {
    const limit = Number(read(`${folder}/${limitFile}`) ?? NaN);
    const used = Number(read(`${folder}/${usedFile}`) ?? NaN);
    // "max", or a number near 2^63: no limit.
    if (!(limit < 2 ** 53) || Number.isNaN(used)) continue;
    return Math.max(0, limit - used + Number(idle.exec(read(`${folder}/memory.stat`) ?? '')?.[1] ?? 0));
  }
  return undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A kernel or a container without this file: the next source is asked.
    return undefined;
  }
}
