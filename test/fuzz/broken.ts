/** A reader with every fault the harness must find: the first byte of an input chooses. */
import { ReasongenError } from '../../core/errors.ts';
import type { FuzzTarget } from './harness.ts';

const refuse = (message: string): never => {
  throw new ReasongenError({ code: 'REFUSED', message, place: 'here', hint: 'give another' });
};

const behaviors: readonly (() => unknown)[] = [
  () => 'read',
  () => refuse('this is not what is read'),
  () => {
    for (;;);
  },
  () => process.kill(process.pid, 'SIGKILL'),
  () => {
    throw new TypeError('undefined is not a function');
  },
  () => refuse(`no file ${`${'iVBORw0KGgo'.repeat(10)} `.repeat(60)}`),
  () => refuse('\u001b[2J'),
  () => Buffer.alloc(400 * 2 ** 20, 1).length,
];

const target: FuzzTarget = {
  seeds: () => behaviors.map((_, first) => Uint8Array.of(first, 7, 7)),
  read: async ([first = 0]) => behaviors[first]?.(),
};
export default target;
