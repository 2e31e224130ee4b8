/**
 * Keys, tokens and passwords are masked in everything that is written or shown: messages, the log, records of runs, metrics, the report.
 * What a secret is follows from the environment, from what components have asked for by `readKey`, and from the form of addresses.
 */

import { type Environment, processEnvironment } from './environment.ts';

const mask = '***';

/** Values that were read as keys in this process. It only grows: no runtime may show a key of another. */
const known = new Set<string>();

/** Values that servers without keys are given, which are words of ordinary texts. */
const placeholder = /^(empty|none|null|dummy|test|token|key|secret|password|unused|sk-no-key-required|x+|\*+|-+)$/i;

/** From now on `value` is masked. */
export function hide(value: string): void {
  // A key with a line break may be shown in parts.
  for (const part of [value, ...value.split(/[\p{Cc}\s]+/u)])
    if (part.length >= 4 && !placeholder.test(part)) known.add(part);
}

/** Variables whose values are secrets by their name: HF_TOKEN, OPENAI_API_KEY, AWS_SECRET_ACCESS_KEY, … */
const secretName = /(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$/i;

/** `text` without the secrets that are known, and otherwise as it is: for what is kept word by word, such as answers of servers. */
export function maskKnown(text: string): string {
  let result = text;
  for (const secret of secrets(processEnvironment)) {
    const { plain, escaped } = formsOf(secret);
    for (const form of plain) if (result.includes(form)) result = result.replaceAll(form, () => mask);
    if (/[%&\\]/.test(result)) result = result.replaceAll(escaped, () => mask);
  }
  return result;
}

/** `text` without secrets, those included that only look like one. */
export function scrub(text: string): string {
  return (
    maskKnown(text)
      // User and password of an address. A bound keeps long words from being looked through once for each letter.
      .replaceAll(/([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#"'<>\\]*@/gi, (_, scheme: string) => `${scheme}${mask}@`)
      // Signed addresses, and keys in queries.
      .replaceAll(
        /([?&][\w.-]*(?:key|token|secret|signature|sig|password|credential)=)[^\s&#"'<>\\]+/gi,
        (_, name: string) => `${name}${mask}`,
      )
      // Keys of well-known forms, wherever they come from.
      .replaceAll(/\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{20,}/g, (_, start: string) => `${start}${mask}`)
  );
}

interface Forms {
  readonly plain: readonly string[];
  /** Any of its characters as addresses, JSON and HTML may write them. */
  readonly escaped: RegExp;
}

const forms = new Map<string, Forms>();

/** A shorter secret could stand in the base64 of a picture by chance. */
const shortestCoded = 8;

/** How a secret may stand in a text: as it is, with some characters escaped, or in base64 and hexadecimal digits. */
function formsOf(secret: string): Forms {
  const before = forms.get(secret);
  if (before !== undefined) return before;
  const bytes = Buffer.from(secret);
  const coded =
    bytes.length < shortestCoded
      ? []
      : [...base64Forms(bytes), bytes.toString('hex'), bytes.toString('hex').toUpperCase()];
  const made = {
    plain: [...new Set([secret, ...coded])],
    escaped: new RegExp(Array.from(secret, escapedForms).join(''), 'g'),
  };
  forms.set(secret, made);
  return made;
}

/** What bytes are in base64 whatever stands before and behind them: a name and a colon stand before a password. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const core = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** A pattern for one character. */
function escapedForms(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const anyCase = (digits: string): string =>
    digits.replaceAll(/[a-f]/gi, (d) => `[${d.toLowerCase()}${d.toUpperCase()}]`);
  const hex = anyCase(code.toString(16));
  const percent = [...Buffer.from(character)].map((byte) => `%${anyCase(byte.toString(16).padStart(2, '0'))}`).join('');
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  const json = units.map((unit) => `\\\\u${anyCase(unit.toString(16).padStart(4, '0'))}`).join('');
  const named = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }[character];
  const all = [percent, json, `&#0*${code};`, `&#[xX]0*${hex};`, literal(JSON.stringify(character).slice(1, -1))];
  if (named !== undefined) all.push(`&${named};`);
  if (character === '/') all.push(String.raw`\\/`);
  if (character === ' ') all.push(String.raw`\+`);
  return `(?:${[...all, literal(character)].join('|')})`;
}

/** A pattern for the text itself. */
function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

/** JSON without secrets in its texts. */
export function scrubbedJson(value: unknown, space?: number): string {
  return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'string' ? scrub(each) : each), space);
}

/** The longest first, so that no rest of one is left where another is a part of it. */
function secrets(environment: Environment): string[] {
  const found = new Set(known);
  for (const [name, value = ''] of Object.entries(environment)) {
    if (secretName.test(name) && value.trim().length >= 8 && !placeholder.test(value.trim())) found.add(value.trim());
    const [, password] = /^[a-z][a-z0-9+.-]*:\/\/[^\s/:]*:([^\s/]+)@/i.exec(value) ?? [];
    if (password !== undefined && password.length >= 4) found.add(password).add(decoded(password));
  }
  return [...found].sort((a, b) => b.length - a.length);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
