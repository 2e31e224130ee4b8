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

/** Additions of a chain in a nanosecond of this process's time: about the rate of the processor in GHz where nobody else has a share of it. */
export function clockRate(milliseconds = 20) {
  const piece = 2e5;
  for (let i = 0; i < 5; i++) chain(piece); // Compiled by then.
  const started = process.cpuUsage();
  let [pieces, sum, used] = [0, 0, 0];
  while (used < milliseconds * 1000) {
    sum ^= chain(piece);
    pieces += 1;
    const { user, system } = process.cpuUsage(started);
    used = user + system;
  }
  // What is summed up is used, so that the chain stays.
  return Number.isNaN(sum) ? sum : (pieces * piece) / (used * 1000);
}
