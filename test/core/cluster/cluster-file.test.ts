/** Cluster files: strict, extended figure by figure, and the examples that come with the program. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readCluster } from '../../../core/cluster/cluster-file.ts';
import { ProblemsError, problemsOf, type ReasongenError } from '../../../core/errors.ts';
import { root, Workplace } from '../../support/runs.ts';

const examples = join(root, 'presets/clusters');
const place = new Workplace();

function mistakes(text: string): string[] {
  const file = place.write('cluster.yaml', `extends: ${join(examples, 'nano.yaml')}\n${text}`);
  try {
    readCluster(file);
  } catch (error) {
    expect(error).toBeInstanceOf(ProblemsError);
    return problemsOf(error as ReasongenError).map(
      ({ code, place: where = '', message, hint = '' }) =>
        `${code} ${where.replace(/^.*cluster\.yaml:/, '')} ${message} ${hint}`,
    );
  }
  return [];
}

describe('a file', () => {
  test.each(readdirSync(examples).filter((name) => name.endsWith('.yaml')))('%s is valid', (name) => {
    expect(readCluster(join(examples, name)).name).not.toBe('');
  });

  test('a figure of a base is replaced with where it is from', () => {
    const file = place.write(
      'mine.yaml',
      `extends: ${join(examples, 'nano.yaml')}\nseconds: { job: { value: 7, assumed: a guess } }\n`,
    );
    const { seconds } = readCluster(file);
    expect(seconds.job).toEqual({ value: 7, assumed: 'a guess' });
    expect(seconds.training).toEqual(readCluster(join(examples, 'nano.yaml')).seconds.training);
  });

  test.each([
    ['devises: 3', 'UNKNOWN_OPTION 2:1 cluster.devises is not an option of a cluster Did you mean "devices"?'],
    [
      'seconds: { drawin: { value: 2, measured: x } }',
      'UNKNOWN_OPTION 2:12 cluster.seconds.drawin is not an option of a cluster Did you mean "drawing"?',
    ],
    [
      'seconds: { job: { value: 2 } }',
      'BAD_OPTION 2:17 cluster.seconds.job: {"value":2}: say either how it was `measured` or why it is `assumed` ',
    ],
    [
      'seconds: { job: { value: 2, mesured: x } }',
      'UNKNOWN_OPTION 2:29 cluster.seconds.job.mesured is not an option of a cluster Did you mean "measured"?',
    ],
    [
      'seconds: { job: { value: -1, measured: x } }',
      'BAD_OPTION 2:26 cluster.seconds.job.value: -1 is too small: at least 0 ',
    ],
    [
      'network: { fetch: { value: 0, measured: x } }',
      'BAD_OPTION 2:19 cluster.network.fetch: {"value":0,"measured":"x"}: a rate is more than 0 ',
    ],
    ['judges: bst', 'BAD_OPTION 2:9 cluster.judges: "bst" is not "elsewhere" or "best" or a number '],
  ])('%s', (text, expected) => {
    expect(mistakes(text)).toContain(expected);
  });
});
