/** The numbers of a run as this page has them: what the server sent at once, and every line that came after. */

/** @typedef {{ mean: (number | null)[], low?: (number | null)[], high?: (number | null)[], notFinite?: number }} Curve */

/** Points beyond which the whole is asked for again, joined by the server. */
const mostPoints = 6000;

export class Curves {
  /** @param {any} answer of the server */
  constructor(answer) {
    this.lines = /** @type {number} */ (answer.lines);
    this.badLines = /** @type {number} */ (answer.badLines);
    this.width = /** @type {number} */ (answer.width);
    this.steps = /** @type {number[]} */ (answer.steps);
    this.times = /** @type {(number | null)[]} */ (answer.times);
    this.metrics = /** @type {Map<string, Curve>} */ (new Map(Object.entries(answer.metrics)));
  }

  /**
   * Adds lines that follow what is there. False when they do not, or when there is too much to draw: then ask anew.
   * @param {number} from @param {readonly Readonly<Record<string, number | string>>[]} lines
   */
  append(from, lines) {
    if (from + lines.length <= this.lines) return true;
    if (from !== this.lines || this.steps.length > mostPoints) return false;
    for (const line of lines) {
      this.lines++;
      const at = this.steps.length;
      this.steps.push(Number.isSafeInteger(line['step']) ? Number(line['step']) : this.lines);
      this.times.push(typeof line['unixSeconds'] === 'number' ? line['unixSeconds'] : null);
      for (const [name, value] of Object.entries(line)) {
        if (name === 'step' || name === 'unixSeconds' || (typeof value !== 'number' && value !== null)) continue;
        /** @type {Curve} */
        const curve = this.metrics.get(name) ?? { mean: new Array(at).fill(null) };
        this.metrics.set(name, curve);
        // JSON has no word for what is not finite.
        if (value === null) curve.notFinite = (curve.notFinite ?? 0) + 1;
        for (const values of [curve.mean, curve.low, curve.high]) if (values !== undefined) values[at] = value;
      }
      for (const curve of this.metrics.values())
        for (const values of [curve.mean, curve.low, curve.high])
          if (values !== undefined && values.length <= at) values[at] = null;
    }
    return true;
  }

  /** Seconds since the first step, where lines say when they were written. */
  seconds() {
    const first = this.times.find((time) => time !== null) ?? null;
    return first === null ? undefined : this.times.map((time) => (time === null ? null : time - first));
  }

  /** The step that was being taken at a time: the first that was written after it. @param {number} time in seconds since 1970 */
  stepAt(time) {
    const at = this.times.findIndex((each) => each !== null && each >= time);
    return this.steps[at < 0 ? this.steps.length - 1 : at];
  }
}

/** What is said of lines that are missing. @param {Curves} curves @returns {string | false} */
export function badLinesNote({ badLines }) {
  if (badLines === 0) return false;
  return badLines === 1
    ? '1 line of metrics.ndjson could not be read and is left out. '
    : `${badLines} lines of metrics.ndjson could not be read and are left out. `;
}

/**
 * The exponential mean, without the pull towards 0 of its beginning.
 * @param {(number | null)[]} values @param {number} weight 0 to 1: how much of the past is kept
 */
export function smooth(values, weight) {
  if (weight === 0) return values;
  let [sum, mass] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * weight + value * (1 - weight);
    mass = mass * weight + (1 - weight);
    return sum / mass;
  });
}
