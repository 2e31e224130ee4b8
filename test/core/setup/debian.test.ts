/** What Debian offers, and which of two versions is newer. */
import { describe, expect, it } from 'vitest';
import {
  driverSources,
  formatSources,
  parseDeb822Sources,
  parseOneLineSources,
  systemSources,
} from '../../../core/setup/apt-sources.mjs';
import { compareDebianVersions, majorVersion } from '../../../core/setup/debian-version.mjs';
import { parseInstallPlan } from '../../../core/setup/lavapipe.mjs';
import { put, root, useMachine } from '../../support/machine.ts';

useMachine();

describe('apt sources', () => {
  const oneLine = [
    '# comment',
    'deb http://deb.example.org/debian bookworm main contrib # trailing',
    'deb-src http://deb.example.org/debian bookworm main',
    'deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] https://vendor.example.org/apt stable main',
  ].join('\n');
  const deb822 = [
    '# a comment before',
    'Types: deb deb-src',
    '# a comment inside',
    'URIs: http://deb.example.org/debian',
    'Suites: bookworm bookworm-updates',
    'Components: main',
    'Signed-By:',
    ' -----BEGIN PGP PUBLIC KEY BLOCK-----',
    ' .',
    ' abc',
    '',
    'Enabled: no',
    'Types: deb',
    'URIs: http://disabled.example.org',
    'Suites: bookworm',
    'Components: main',
  ].join('\n');

  it('reads the one-line format', () => {
    expect(parseOneLineSources(oneLine)).toEqual([
      { uri: 'http://deb.example.org/debian', suite: 'bookworm', components: ['main', 'contrib'], options: '' },
      {
        uri: 'https://vendor.example.org/apt',
        suite: 'stable',
        components: ['main'],
        signedBy: '/usr/share/keyrings/a.gpg',
        options: 'arch=amd64',
      },
    ]);
  });

  it('reads the deb822 format: several suites, keys inside, disabled stanzas', () => {
    const sources = parseDeb822Sources(deb822);
    expect(sources.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      'http://deb.example.org/debian bookworm',
      'http://deb.example.org/debian bookworm-updates',
    ]);
    expect(sources[0]?.signedBy).toContain('\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc');
  });

  it('takes the distribution only, adds its backports, and survives writing and reading', () => {
    put('etc/apt/sources.list', oneLine);
    put('etc/apt/sources.list.d/debian.sources', deb822);
    put('etc/apt/sources.list.d/old.sources.save', deb822);
    const chosen = driverSources(systemSources(root), 'bookworm', true);
    expect(chosen.map(({ suite, components }) => `${suite} ${components.join('+')}`)).toEqual([
      'bookworm main+contrib',
      'bookworm main',
      'bookworm-updates main',
      'bookworm-backports main+contrib',
      'bookworm-backports main',
    ]);
    expect(
      driverSources(systemSources(root), 'bookworm', false).every(({ suite }) => !suite.endsWith('backports')),
    ).toBe(true);
    expect(parseDeb822Sources(formatSources(chosen))).toEqual(chosen);
  });
});

describe('Debian versions', () => {
  it.each([
    ['25.0.7-2~bpo12+1', '25.0.7-2', -1],
    ['22.3.6-1+deb12u1', '24.0.0-1', -1],
    ['1:1.0', '2.0', 1],
    ['1.10', '1.9', 1],
    ['1.0~rc1', '1.0', -1],
    ['1.0a', '1.0+', -1],
    ['2.4.114-1+b1', '2.4.114-1', 1],
    ['1.0-1', '1.0-1', 0],
    ['1.02', '1.2', 0],
  ])('%s against %s', (left, right, sign) => {
    expect(Math.sign(compareDebianVersions(left, right))).toBe(sign);
    expect(Math.sign(compareDebianVersions(right, left)) + sign).toBe(0);
  });

  it('knows the major number, also behind an epoch', () => {
    expect(majorVersion('25.0.7-2~bpo12+1')).toBe(25);
    expect(majorVersion('1:22.3.6-1')).toBe(22);
    expect(majorVersion('')).toBeNaN();
  });

  it('reads what apt would install, upgrades included', () => {
    const plan =
      'Inst libdrm2 [2.4.114-1] (2.4.123-1~bpo12+1 Debian Backports [amd64])\nInst libvulkan1 (1.3.239.0-1 Debian [amd64]) []\nConf libdrm2 (2.4.123 x [amd64])\n';
    expect(parseInstallPlan(plan)).toEqual([
      { name: 'libdrm2', version: '2.4.123-1~bpo12+1' },
      { name: 'libvulkan1', version: '1.3.239.0-1' },
    ]);
  });
});
