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

/** `text` without secrets. */
export function scrub(text: string): string {
  let result = text;
  for (const secret of secrets(processEnvironment)) {
    for (const form of new Set([secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]))
      if (result.includes(form)) result = result.replaceAll(form, () => mask);
  }
  return (
    result
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
