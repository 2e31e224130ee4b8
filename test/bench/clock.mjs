/**
 * How fast the processor is at the moment. What the host of a virtual machine takes away is not told to it, and is counted as time that a process has used; a chain of
 * additions that wait for each other tells.
 */

/** @param {number} length */
function chain(length) {
  let sum = 1;
  for (let i = 0; i < length; i++) sum = (sum + i) | 0;
  return sum;
}

const length = 2e5;
const pieces = 61;

/** Additions of a chain in a nanosecond of this process's time, the median of some pieces: about the rate of the processor in GHz where nobody else has a share of it. */
export function clockRate() {
  const rates = [];
  let sum = 0;
  // The first half is there to be compiled.
  for (let piece = -pieces; piece < pieces; piece++) {
    const started = process.cpuUsage();
    sum ^= chain(length);
    const { user, system } = process.cpuUsage(started);
    if (piece >= 0) rates.push(length / (1000 * Math.max(1, user + system)));
  }
  rates.sort((one, other) => one - other);
  // What is summed up is used, so that the chain stays.
  return Number.isNaN(sum) ? sum : (rates[(pieces - 1) / 2] ?? Number.NaN);
}
