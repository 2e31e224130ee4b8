/**
 * presets/ERRORS.md, made from the sources: every error by exit code and code, with what it says and what to try.
 *   npm run docs:errors
 * Ends with 1 when a code has two exit codes.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '../../core/errors.ts';
import { readErrors, type RaisedError } from './error-sites.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const errorPage = join(root, 'presets/ERRORS.md');

const meanings: Readonly<Record<number, string>> = {
  [exitCodes.failure]: 'something failed',
  [exitCodes.badPreset]: 'the preset or the command line is wrong, or what it names is not there',
  [exitCodes.noAdapter]: 'no adapter, or set-up failed',
  [exitCodes.outOfMemory]: 'not enough memory',
  [exitCodes.deviceLost]: 'the device was lost',
  [exitCodes.disk]: 'the disk is full, or a file is damaged',
  [exitCodes.guard]: 'a guard stopped the run',
};

/** Codes that end the program as something else has it: a signal, or a run of several. */
const passedOn = ['RUN_STOPPED', 'STOPPED'];

/** The exit codes of each other code; that of a cause, which an error may pass on, is left out. */
function exitsOf(errors: readonly RaisedError[]): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  for (const { code, exitCode } of errors) {
    if (passedOn.includes(code) || exitCode === 'cause') continue;
    const known = found.get(code) ?? [];
    if (!known.includes(exitCode)) found.set(code, [...known, exitCode]);
  }
  return found;
}

/** A line for each code that ends the program now with one exit code and now with another: there must be none. */
export function ambiguousCodes(errors: readonly RaisedError[]): string[] {
  const ambiguous = [...exitsOf(errors)].filter(([, exits]) => exits.length > 1);
  return ambiguous.map(([code]) => {
    const places = errors.filter((error) => error.code === code).map((error) => `${error.exitCode} at ${error.place}`);
    return `${code} has two exit codes: ${[...new Set(places)].join(', ')}`;
  });
}

/** A line for each other code of which no place has an exit code that can be read. */
export function codesWithoutExit(errors: readonly RaisedError[]): string[] {
  const exits = exitsOf(errors);
  return [...new Set(errors.map(({ code }) => code))]
    .filter((code) => !exits.has(code) && !passedOn.includes(code))
    .map((code) => `${code}: its exit code cannot be read at ${errors.find((error) => error.code === code)?.place}`);
}

export function renderErrorPage(errors: readonly RaisedError[]): string {
  const exits = exitsOf(errors);
  const numbers = [...new Set([...exits.values()].flat())].sort((a, b) => a - b);
  const sections = numbers.map((number) => {
    const codes = [...exits].filter(([, own]) => own.includes(number)).map(([code]) => code);
    return section(`Exit code ${number}: ${meanings[number]}`, codes.sort(), errors);
  });
  const without = passedOn.filter((code) => errors.some((error) => error.code === code));
  if (without.length > 0)
    sections.push(section('The exit code of the signal, or of the run that was stopped', without, errors));
  return `# Every error code

A failure is one message: a code, the place, what happened, what to try. A code always ends the program with the same exit code, except
\`HOOK_FAILED\`, which keeps that of the error inside the hook. An ellipsis stands for what depends on the case. This page is made from
the sources by \`npm run docs:errors\`.

${sections.join('\n')}`;
}

function section(title: string, codes: readonly string[], errors: readonly RaisedError[]): string {
  const rows = codes.map((code) => {
    const own = errors.filter((error) => error.code === code);
    const list = (texts: readonly (string | undefined)[]): string =>
      [...new Set(texts.flatMap((text) => (text === undefined ? [] : cell(text))))].sort().join('<br>');
    return `| \`${code}\` | ${list(own.map(({ message }) => message))} | ${list(own.map(({ hint }) => hint))} |`;
  });
  return `## ${title}

| code | what happened | what to try |
|---|---|---|
${rows.join('\n')}
`;
}

/** Text for a cell of a table; what is between backticks stands as it is. */
function cell(text: string): string {
  const line = text.replaceAll(/\s*\n\s*/g, ' ').trim();
  const parts = line.split(/(`[^`]*`)/);
  const plain = (part: string): string => part.replaceAll(/…(?:\s*…)+/g, '…').replaceAll(/[<*]|__/g, String.raw`\$&`);
  return parts.map((part) => (part.startsWith('`') ? part : plain(part)).replaceAll('|', String.raw`\|`)).join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { errors } = readErrors(root);
  writeFileSync(errorPage, renderErrorPage(errors));
  const wrong = [...ambiguousCodes(errors), ...codesWithoutExit(errors)];
  process.stderr.write(wrong.map((line) => `${line}\n`).join(''));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
