/**
 * What a launch has to do at least, from its tensors and parameters alone.
 *
 * Bytes: every tensor that it reads or writes, once, though it be cached; of tables and caches, of which a launch touches some rows, as much as
 * its other tensors have. Arithmetic: products and convolutions; what attention does over packed sequences depends on their lengths and is left out.
 */
import { byteLength } from '../tensor/tensor.ts';
import type { LoadedLaunch } from './bind.ts';

export interface LaunchWork {
  /** Of the kernel, as `breakdown.ts` names it. */
  readonly label: string;
  readonly bytes: number;
  readonly operations: number;
}

export function launchWork({
  kernel,
  step: { bindings, params = {} },
}: Pick<LoadedLaunch, 'kernel' | 'step'>): LaunchWork {
  const sizes = kernel.bindings.flatMap(({ name }) => {
    const tensor = bindings[name];
    return tensor === undefined ? [] : [{ name, tensor, bytes: byteLength(tensor.shape, tensor.type) }];
  });
  // What stands for a binding that is not used, the bias of a product without one, is another tensor of the launch.
  const distinct = sizes.filter(
    ({ tensor }, index) => sizes.findIndex((other) => other.tensor.memory === tensor.memory) === index,
  );
  const isTable = tableOf(kernel.label);
  const rest = distinct.reduce((sum, { name, bytes }) => sum + (isTable(name) ? 0 : bytes), 0);
  return {
    label: kernel.label,
    bytes: distinct.reduce((sum, { name, bytes }) => sum + (isTable(name) ? Math.min(bytes, rest) : bytes), 0),
    operations: operationsOf(kernel.label, params),
  };
}

/** Which binding of a kernel is a table or a cache, of which a launch touches some rows. */
function tableOf(label: string): (name: string) => boolean {
  if (label.startsWith('rows/gather')) return (name) => name === 'x';
  if (label.startsWith('rows/scatter')) return (name) => name === 'out';
  return (name) => label.startsWith('cached-attention/') && ['keys', 'values'].includes(name);
}

function operationsOf(label: string, params: Readonly<Record<string, number>>): number {
  const of = (name: string): number => params[name] ?? 0;
  if (/^linear\/(?!bias|copy|matrix-exponents|matrix-operand)/.test(label))
    return 2 * of('rows') * of('columns') * of('inner');
  // Zeros around pictures are multiplied, too.
  if (/^conv2d\/matrix(?!-)/.test(label)) return 2 * of('rows') * of('columns') * of('depth') * of('kernel') ** 2;
  if (label.startsWith('conv2d/matrix-weight-gradient'))
    return 2 * of('d_out_rows') * of('in_channels') * of('out_channels') * of('kernel') ** 2;
  if (/^conv2d\/(?!transpose|matrix|bias)/.test(label))
    return (
      2 * (of('pixels') || of('lines') * of('out_width')) * of('in_channels') * of('out_channels') * of('kernel') ** 2
    );
  return 0;
}
