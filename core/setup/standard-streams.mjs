/** What a write fails with when nobody reads any more: a pipe whose reader has ended, a terminal that was closed. */
const readerIsGone = new Set(['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED']);

/** The exit code of a result that could not be written: that of a full disk. */
export const outputLostExitCode = 6;

let isGuarded = false;

/**
 * A reader that goes away ends nothing: what is written to it is dropped, and the command goes on to its end. A result that cannot be written
 * for another reason, a full disk for instance, is told, and ends a command that went well with exit code 6.
 */
export function outliveReaders() {
  if (isGuarded) return;
  isGuarded = true;
  let isLost = false;
  process.stderr.on('error', () => {}); // there is no other place to tell it
  process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    if (isLost || readerIsGone.has(error.code ?? '')) return;
    isLost = true;
    process.stderr.write(
      `error OUTPUT_LOST: the result could not be written to standard output: ${error.message}\n` +
        '  hint: free some space, or send it elsewhere\n',
    );
  });
  process.on('exit', () => {
    if (isLost && !process.exitCode) process.exitCode = outputLostExitCode;
  });
}
