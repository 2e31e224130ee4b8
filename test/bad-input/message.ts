import { expect } from 'vitest';
import type { CommandEnd } from '../support/command-line.ts';

export interface ExpectedMessage {
  readonly exit: number;
  readonly code: string;
  /** Where, as it stands behind the code. */
  readonly place?: string | RegExp;
  /** What happened and what to do: each must be said. */
  readonly says: readonly (string | RegExp)[];
}

/** One message, in the form of all messages, with the right exit code and without a stack. */
export function expectMessage({ code, errors }: CommandEnd, expected: ExpectedMessage): void {
  const heads = errors.split('\n').filter((line) => /^[A-Z][A-Z_]+(  |$)/.test(line));
  expect(heads, errors).toHaveLength(1);
  const [name = '', place = ''] = heads[0]?.split(/ {2}/) ?? [];
  expect(name, errors).toBe(expected.code);
  if (expected.place !== undefined) expect(place).toMatch(expected.place);
  // The message is indented below its head.
  const body = errors.slice(errors.indexOf(heads[0] ?? '') + (heads[0]?.length ?? 0));
  for (const text of expected.says) expect(body).toMatch(text);
  expect(errors).not.toMatch(/^\s+at /m);
  expect(code).toBe(expected.exit);
}
