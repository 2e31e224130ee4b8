/** The verdicts of `verify-device`: right ones, a wrong one, and what the command leaves with. */
import { expect, test } from 'vitest';
import { verifyDevice } from '../../../core/commands/verify-device.ts';
import type { CommandContext } from '../../../core/commands/context.ts';
import { gelu } from '../../../core/ops/gelu.ts';
import { randomFloats } from '../../../core/testing.ts';
import { checkOp } from '../../../core/testing/check-op.ts';
import { deviceSuite, type DeviceCase } from '../../../core/testing/device-suite.ts';

function listen(): { readonly context: CommandContext; text(): string } {
  const lines: string[] = [];
  return {
    context: { write: (text: string) => void lines.push(text) } as unknown as CommandContext,
    text: () => lines.join(''),
  };
}

test('an adapter that computes rightly is told so, with and without subgroups', async () => {
  const { context, text } = listen();
  expect(await verifyDevice({ only: 'silu' }, context)).toBe(0);
  expect(text()).toMatch(/as offered: .*[\s\S]*SiLU +1003 values +ok +\d\.\de-8 +\d\.\de-/);
  expect(text()).toContain('without subgroups: portable kernels');
  expect(text()).toContain('2 checks, all right');
});

test('an op that computes something else is called wrong, and the exit code says so', async () => {
  const wrong: DeviceCase = {
    op: 'SiLU that is a GELU',
    form: '10 values',
    run: (device) =>
      checkOp({
        device,
        inputs: { x: { shape: [10], data: randomFloats(10, 1) } },
        op: (tape, { x }) => gelu(tape, x),
        oracle: ({ x }) => x.map((value) => value / (1 + Math.exp(-value))),
      }),
  };
  const { context, text } = listen();
  expect(await verifyDevice({}, context, [wrong])).toBe(1);
  expect(text()).toMatch(/WRONG +value .*error/);
  expect(text()).toContain('2 of 2 checks are wrong. Do not train on this adapter');
});

test('what an adapter does not offer is left out, once for an op, and counts as no check', async () => {
  const cases = [1, 2].map((form): DeviceCase => ({
    op: 'what nobody has',
    form: String(form),
    leftOut: () => 'no adapter offers it',
    run: () => Promise.reject(new Error('it was run')),
  }));
  const { context, text } = listen();
  expect(await verifyDevice({}, context, cases)).toBe(0);
  expect(text().match(/left out: no adapter offers it/g)).toHaveLength(2);
  expect(text()).toContain('4 checks were left out');
  expect(text()).toContain('0 checks, all right');
});

test('a word that fits no op is answered with the ops there are', async () => {
  await expect(verifyDevice({ only: 'nothing' }, listen().context)).rejects.toMatchObject({
    code: 'UNKNOWN_OP',
    exitCode: 2,
  });
});

test('the suite names every kind of op', () => {
  const ops = new Set(deviceSuite.map(({ op }) => op));
  for (const op of [
    'linear',
    'linear, stored weight',
    'embedding',
    'attention',
    'convolution',
    'fused language head',
    'sampling',
    'same bits',
  ])
    expect(ops).toContain(op);
});
