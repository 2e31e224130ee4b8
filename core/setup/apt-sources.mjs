import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * One archive of the package manager.
 * @typedef {{ uri: string, suite: string, components: string[], signedBy?: string, options: string }} AptSource
 * `signedBy` is a path (or a key on several lines, deb822 only); `options` are the other options of a one-line entry.
 */

/**
 * The archives of a file in the one-line format (`deb [options] uri suite components`).
 * @param {string} text @returns {AptSource[]}
 */
export function parseOneLineSources(text) {
  /** @type {AptSource[]} */
  const sources = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*$/, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (!match) continue;
    const [, options = '', uri = '', suite = '', components = ''] = match;
    const words = options.split(/\s+/).filter(Boolean);
    const signedBy = words.find((word) => word.startsWith('signed-by='))?.slice('signed-by='.length);
    sources.push({
      uri,
      suite,
      components: components.split(/\s+/).filter(Boolean),
      ...(signedBy ? { signedBy } : {}),
      options: words.filter((word) => !word.startsWith('signed-by=')).join(' '),
    });
  }
  return sources;
}

/**
 * The archives of a file in the deb822 format (stanzas of `Field: values`).
 * @param {string} text @returns {AptSource[]}
 */
export function parseDeb822Sources(text) {
  /** @type {AptSource[]} */
  const sources = [];
  const withoutComments = text.replace(/^#.*\n?/gm, '');
  for (const stanza of withoutComments.split(/\n\s*\n/)) {
    /** @type {Map<string, string>} */
    const fields = new Map();
    let name = '';
    for (const line of stanza.split('\n')) {
      const start = /^([A-Za-z][A-Za-z0-9-]*):(.*)$/.exec(line);
      if (start) {
        name = (start[1] ?? '').toLowerCase();
        fields.set(name, (start[2] ?? '').trim());
      } else if (name && /^\s/.test(line)) fields.set(name, `${fields.get(name)}\n${line}`);
    }
    const words = (/** @type {string} */ field) => (fields.get(field) ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || fields.get('enabled')?.toLowerCase() === 'no') continue;
    const signedBy = fields.get('signed-by');
    for (const uri of words('uris'))
      for (const suite of words('suites'))
        sources.push({ uri, suite, components: words('components'), ...(signedBy ? { signedBy } : {}), options: '' });
  }
  return sources;
}

/**
 * Every archive the system names, in both formats.
 * @param {string} root the root of the file system (a temporary one in tests)
 */
export function systemSources(root = '/') {
  const sources = [];
  const single = join(root, 'etc/apt/sources.list');
  if (existsSync(single)) sources.push(...parseOneLineSources(readFileSync(single, 'utf8')));
  const folder = join(root, 'etc/apt/sources.list.d');
  for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
    if (name.endsWith('.list')) sources.push(...parseOneLineSources(readFileSync(join(folder, name), 'utf8')));
    else if (name.endsWith('.sources')) sources.push(...parseDeb822Sources(readFileSync(join(folder, name), 'utf8')));
  }
  return sources;
}

/**
 * The archives a driver may come from: the distribution's own suite, its updates and its backports, at the addresses the system
 * already trusts. Other archives (a language runtime, a cloud vendor) are left out: they could only slow the step down or break it.
 * @param {AptSource[]} sources @param {string} codename for example `bookworm` @param {boolean} withBackports
 */
export function driverSources(sources, codename, withBackports) {
  const main = sources.filter((source) => source.suite === codename);
  const updates = sources.filter((source) => source.suite === `${codename}-updates`);
  const backports = withBackports ? main.map((source) => ({ ...source, suite: `${codename}-backports` })) : [];
  const seen = new Set();
  return [...main, ...updates, ...backports].filter((source) => {
    const key = `${source.uri.replace(/\/+$/, '')} ${source.suite} ${source.components.join(' ')}`;
    return seen.has(key) ? false : seen.add(key);
  });
}

/**
 * The archives as a deb822 file, the only format that can carry a key inside.
 * @param {AptSource[]} sources
 */
export function formatSources(sources) {
  return sources
    .map((source) => {
      const lines = [
        'Types: deb',
        `URIs: ${source.uri}`,
        `Suites: ${source.suite}`,
        `Components: ${source.components.join(' ')}`,
      ];
      if (source.signedBy) lines.push(`Signed-By: ${source.signedBy}`);
      for (const option of source.options.split(/\s+/).filter(Boolean)) {
        const [key = '', value = ''] = option.split('=');
        const field = { arch: 'Architectures', trusted: 'Trusted', 'check-valid-until': 'Check-Valid-Until' }[key];
        if (field) lines.push(`${field}: ${value.replaceAll(',', ' ')}`);
      }
      return `${lines.join('\n')}\n`;
    })
    .join('\n');
}
