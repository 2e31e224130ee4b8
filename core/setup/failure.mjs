import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { outliveReaders } from './standard-streams.mjs';

/** The exit code of a failed set-up, unless told otherwise: nothing was computed, and what helps is outside the program. */
export const setupExitCode = 3;

/** A set-up step that cannot be done: what is wrong (with its cause) and what the user can do. */
export class SetupError extends Error {
  /** @param {{ code: string, message: string, hint: string, exitCode?: number, cause?: unknown }} failure `code` is stable, in capitals */
  constructor({ code, message, hint, exitCode = setupExitCode, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SetupError';
    this.code = code;
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** The failure of a checkout whose npm packages are not installed. */
export function packagesMissing() {
  return new SetupError({
    code: 'PACKAGES_MISSING',
    message: 'the npm packages of reasongen are not installed',
    hint: 'npm install',
  });
}

/**
 * Runs the body of a command; a SetupError becomes one message and its exit code, anything else is a defect and keeps its stack.
 * @param {() => Promise<number>} body resolves to the exit code
 */
export async function exitWith(body) {
  outliveReaders();
  try {
    process.exitCode = await body();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const { code, message, hint, exitCode } = error;
    process.stderr.write(`error ${code}: ${message}\n  hint: ${hint}\n`);
    // As the program itself tells programs of its mistakes.
    if (process.argv.includes('--json'))
      process.stdout.write(`${JSON.stringify({ ok: false, errors: [{ code, message, hint, exitCode }] }, null, 2)}\n`);
    process.exitCode = exitCode;
  }
}

/** Whether the module is the program that node was started with. @param {string} url its `import.meta.url` */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}
