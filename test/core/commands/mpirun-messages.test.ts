import { expect, test } from 'vitest';
import { mpirunFilter } from '../../../core/commands/mpirun-messages.ts';

const rule = '-'.repeat(74);

function filtered(...pieces: readonly string[]): { readonly written: string; readonly ended: unknown } {
  let written = '';
  const filter = mpirunFilter((text) => (written += text));
  for (const piece of pieces) filter.push(piece);
  filter.end();
  return { written, ended: filter.ended() };
}

test('a rank that was killed, or ended with a code, is found; what ranks say and what is not known passes', () => {
  const killed = `${rule}\nmpirun noticed that process rank 2 with PID 0 on node host7 exited on signal 9 (Killed).\n${rule}\n`;
  expect(filtered('loss 1\n', killed.slice(0, 90), killed.slice(90))).toEqual({
    written: 'loss 1\n',
    ended: { rank: 2, host: 'host7', signal: '9 (Killed)' },
  });
  const primary = `${rule}\nPrimary job  terminated normally, but 1 process returned\na non-zero exit code.\n${rule}\n`;
  const exited = `${rule}\nmpirun detected that one or more processes exited with non-zero status, thus causing\nthe job to be terminated. The first process to do so was:\n\n  Process name: [[45387,1],3]\n  Exit code:    137\n${rule}\n`;
  expect(filtered(primary, exited)).toEqual({ written: '', ended: { rank: 3, code: 137 } });
  const other = `${rule}\nThere are not enough slots available in the system\n${rule}\n`;
  expect(filtered(other, 'half a line')).toEqual({ written: `${other}half a line\n`, ended: undefined });
});
