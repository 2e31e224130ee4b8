import { expect, test } from 'vitest';
import { soakServer } from './serve.ts';

test('many clients, some of which leave and some of which send nonsense: nothing is mixed up, nothing is kept', async () => {
  const end = await soakServer({ seconds: 45, clients: 32, seed: 1 });
  expect(end).toMatchObject({ faults: [] });
  expect(end.answered).toBeGreaterThan(50);
}, 240_000);
