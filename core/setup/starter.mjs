/** What started this process: whether it ignores hang-ups, and whether the package managers among it are still there. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

// Bits in a mask of signals.
const hangUp = 1n;
const interrupt = 2n;

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
 *
 * Calls `onInterrupt` when such a shell has got a SIGINT and kept it to itself, as dash and ash do with one that npx passes on.
 * @param {{ onGone: () => void, onInterrupt: () => void, milliseconds?: number }} options `milliseconds`: how often is looked
 */
export function watchStarters({ onGone, onInterrupt, milliseconds = 250 }) {
  const starters = startersOf(process.ppid);
  if (starters.length === 0) return;
  const wasInterrupted = interruptionOf(starters, milliseconds);
  const timer = setInterval(() => {
    const isWhole = starters.every((pid, index) => parentOf(starters[index - 1]) === pid);
    if (!isWhole) {
      clearInterval(timer);
      onGone();
    } else if (wasInterrupted()) onInterrupt();
  }, milliseconds);
  timer.unref();
}

/** Whether this process has got a signal since it was last looked: whoever hears one says so. */
let hasHeard = false;

export function noteSignal() {
  hasHeard = true;
}

/** Later than this by one clock or the other, this process was paused, and so were those around it. */
const pauseMilliseconds = 2000;

/**
 * Tells whether a shell among the starters has been woken since it was last asked about. One that waits for its program sleeps: only a signal
 * wakes it, and SIGINT is the one it does not die of. Woken with all others, by a pause and its end, it has got none; nor has it kept to itself
 * what this process has got, too.
 * @param {number[]} starters @param {number} milliseconds between two questions
 */
function interruptionOf(starters, milliseconds) {
  const shells = starters.filter((pid) => keepsInterrupts(pid));
  let [wakes, monotonic, wall] = [shells.map(wakesOf), performance.now(), Date.now()];
  process.on('SIGCONT', noteSignal);
  let isSuspected = false;
  return () => {
    const [now, before] = [shells.map(wakesOf), wakes];
    const late = Math.max(performance.now() - monotonic, Date.now() - wall) - milliseconds;
    const isKnown = hasHeard || late > pauseMilliseconds;
    [wakes, hasHeard, monotonic, wall] = [now, false, performance.now(), Date.now()];
    // Decided at the next question: what this process gets, too, may reach it a moment later.
    const isInterrupt = isSuspected && !isKnown;
    isSuspected = !isKnown && now.some((count, index) => (before[index] ?? 0) > 0 && count > (before[index] ?? 0));
    return isInterrupt;
  };
}

/** Whether a process catches SIGINT, as shells do that wait for their program to end of it. @param {number} pid */
function keepsInterrupts(pid) {
  const [program = ''] = read(pid, 'cmdline').split('\0');
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(read(pid, 'status'))?.[1];
  return isShellName(program) && mask !== undefined && (BigInt(`0x${mask}`) & interrupt) !== 0n;
}

/** How often a process has been woken; 0 where the system does not tell. @param {number} pid */
function wakesOf(pid) {
  return Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(read(pid, 'status'))?.[1] ?? 0);
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
    const isShell = isShellName(program) && [first, ...more].includes('-c');
    if (!isManager && !isShell) break;
    found.push(next);
    if (isManager) managers = found.length;
  }
  return found.slice(0, managers);
}

/** @param {string} program */
function isShellName(program) {
  return /^-?(ba|da|a|z|k)?sh$/.test(basename(program));
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
