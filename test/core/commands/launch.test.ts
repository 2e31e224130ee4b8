import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();

test.skipIf(process.platform === 'win32')(
  'what ranks say keeps its letters, whatever the pieces it comes in',
  async () => {
    // In place of mpirun: a letter of three bytes in two pieces.
    const mpirun = place.write(
      'mpirun',
      `#!/bin/sh
[ "$1" = --version ] && { echo 'mpirun (Open MPI) 4.1.4'; exit 0; }
printf 'a caf\\303' >&2; sleep 0.3; printf '\\251 on a table\\n' >&2
`,
    );
    chmodSync(mpirun, 0o755);
    const preset = place.preset(
      'launched',
      'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 1, batch: 8, examples: 16 }\n',
    );
    const options = ['--ranks', '2', '--run-dir', place.free()];
    const { code, errors } = await place.program(['launch', preset, ...options], { REASONGEN_MPIRUN: mpirun });
    expect([code, errors]).toEqual([0, expect.stringContaining('a caf\u00e9 on a table\n')]);
  },
);
