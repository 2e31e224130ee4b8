/** What started this process: whether it ignores hang-ups, and whether the package managers among it are still there. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const hangUp = 1n; // the bit of SIGHUP in a mask of signals

/**
 * Whether this process was started to ignore hang-ups, by `nohup` or by a trap. Node itself sets every signal back when it starts, so the
 * answer is looked for around it: in the variable by which a shell names the program it starts, in the parent, and in the leader of the job.
 * @param {NodeJS.ProcessEnv} env
 */
export function ignoresHangUps(env = process.env) {
  if (env.REASONGEN_NOHUP === '1' || isNohup(env._)) return true;
  const leader = Number(statOf('self')?.[2]);
  return (
    [process.ppid, leader].some(ignoresIt) ||
    (leader !== process.pid && isNohup(/(?:^|\0)_=([^\0]*)/.exec(read(leader, 'environ'))?.[1]))
  );
}

/**
 * Calls `onGone` once when one of those is gone that wait for this process and pass signals on: npm, npx and their like, and the shells they
 * start programs with. A shell somebody types into is none of them: what it leaves running is meant to go on.
 * @param {() => void} onGone @param {{ milliseconds?: number }} options how often is looked
 */
export function watchStarters(onGone, { milliseconds = 500 } = {}) {
  const starters = startersOf(process.ppid);
  if (starters.length === 0) return;
  const timer = setInterval(() => {
    const isWhole = starters.every((pid, index) => parentOf(starters[index - 1]) === pid);
    if (isWhole) return;
    clearInterval(timer);
    onGone();
  }, milliseconds);
  timer.unref();
}

/** From the nearest to the outermost package manager. @param {number} pid @returns {number[]} */
function startersOf(pid) {
  /** @type {number[]} */
  const found = [];
  let managers = 0;
  for (let next = pid; next > 0; next = parentOf(next)) {
    const [program = '', first = '', ...more] = read(next, 'cmdline').split(/[\0 ]/);
    const isManager = [program, first].some((name) =>
      /^(npm|npx|pnpm|pnpx|yarn|yarnpkg|bun|bunx)(-cli)?(\.[cm]?js)?$/.test(basename(name)),
    );
    const isShell = /^-?(ba|da|a|z|k)?sh$/.test(basename(program)) && [first, ...more].includes('-c');
    if (!isManager && !isShell) break;
    found.push(next);
    if (isManager) managers = found.length;
  }
  return found.slice(0, managers);
}

/** 0 when there is none. @param {number} [pid] this process unless told */
function parentOf(pid) {
  return pid === undefined ? process.ppid : Number(statOf(pid)?.[1] ?? 0);
}

/** @param {number} pid */
function ignoresIt(pid) {
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(read(pid, 'status'))?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & hangUp) !== 0n;
}

/** @param {string | undefined} program */
function isNohup(program) {
  return program !== undefined && basename(program) === 'nohup';
}

/** State, parent, process group, and so on, of a process. @param {number | 'self'} pid @returns {string[] | undefined} */
function statOf(pid) {
  return /\) (.*)/.exec(read(pid, 'stat'))?.[1]?.split(' ');
}

/** '' where it cannot be read: the process is gone or another user's, or the system tells nothing. @param {number | 'self'} pid @param {string} file */
function read(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
