/**
 * Compares two Debian version numbers (`[epoch:]upstream[-revision]`) by the rules of deb-version(7).
 * @param {string} left @param {string} right @returns {number} negative, zero or positive
 */
export function compareDebianVersions(left, right) {
  const a = split(left);
  const b = split(right);
  return a.epoch - b.epoch || compareParts(a.upstream, b.upstream) || compareParts(a.revision, b.revision);
}

/**
 * The major number of the upstream version: 25 of `25.0.7-2~bpo12+1`, 22 of `1:22.3.6-1`. NaN when there is none.
 * @param {string} version
 */
export function majorVersion(version) {
  return Number.parseInt(split(version).upstream, 10);
}

/** @param {string} version */
function split(version) {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? 0 : Number.parseInt(version.slice(0, colon), 10),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

/** @param {string} text @returns {string[]} runs of other characters (even places) and of digits (odd places) */
function runs(text) {
  const found = text.match(/\d+|\D+/g) ?? [];
  return /^\d/.test(text) ? ['', ...found] : [...found];
}

/** Alternately a run of other characters and a run of digits. @param {string} left @param {string} right */
function compareParts(left, right) {
  const a = runs(left);
  const b = runs(right);
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const x = a[index] ?? '';
    const y = b[index] ?? '';
    const order = index % 2 === 1 ? Number(x || 0) - Number(y || 0) : compareText(x, y);
    if (order !== 0) return order;
  }
  return 0;
}

/** `~` sorts before the end, the end before letters, letters before the rest. @param {string} left @param {string} right */
function compareText(left, right) {
  const weight = (/** @type {string | undefined} */ character) => {
    if (character === undefined) return 0;
    if (character === '~') return -1;
    const code = character.charCodeAt(0);
    return /[A-Za-z]/.test(character) ? code : code + 256;
  };
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const order = weight(left[index]) - weight(right[index]);
    if (order !== 0) return order;
  }
  return 0;
}
