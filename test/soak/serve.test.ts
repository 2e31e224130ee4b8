import { expect, test } from 'vitest';
import { soakServer } from './serve.ts';

test('many clients, some of which leave and some of which send nonsense: nothing is mixed up, nothing is kept', async () => {
  const { before, after, ...end } = await soakServer({ seconds: 45, clients: 32, seed: 1 });
  expect({ ...end, before, after }).toMatchObject({ mixed: 0, strange: [], exitCode: 0, isGood: true });
  expect(end.answered).toBeGreaterThan(50);
}, 240_000);
