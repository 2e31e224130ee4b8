/**
 * By which powers of two the rows of weights are scaled for tensor cores, found once for many products. To find them a weight is read whole, which for a
 * few rows is as much as their product reads: a decoder that found them at each token would read its weights twice.
 */
import type { Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import type { Workspace } from '../autograd/workspace.ts';
import type { KeptExponents, MatrixProducts } from '../gpu/matrix-products.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { findExponents, type Operand } from './linear-matrix.ts';

interface Kept {
  readonly weight: Operand;
  readonly exponents: Tensor;
}

/**
 * For programs that are run many times between two changes of the weights they read, those of a sampler say. Whoever runs them calls `refresh`
 * before the first run and whenever weights may have changed.
 */
export class WeightExponents implements KeptExponents {
  /** For tapes whose products with weights are to use these. */
  readonly workspace: Workspace;
  private readonly products: MatrixProducts;
  private readonly outer: Workspace;
  private readonly byBuffer = new Map<GPUBuffer, Map<string, Kept>>();
  /** Finds all that are known; undefined: one of them was met after it was recorded. */
  private finding: Promise<Program> | undefined;
  /** They have been found once: what is met now is met in the midst of runs. */
  private isInUse = false;

  constructor(workspace: Workspace, products: MatrixProducts) {
    this.outer = workspace;
    this.products = products;
    this.workspace = workspace.with(products, this);
  }

  of(weight: Operand): Tensor | undefined {
    const { memory, name, type } = weight.x;
    if (!('buffer' in memory)) return undefined;
    const ofBuffer = this.byBuffer.get(memory.buffer) ?? new Map<string, Kept>();
    this.byBuffer.set(memory.buffer, ofBuffer);
    const key = [memory.offset, type, weight.rows, weight.inner].join(' ');
    const known = ofBuffer.get(key);
    if (known !== undefined) return known.exponents;
    const exponents = this.outer.device.tensor(`${name} exponents`, [weight.rows], 'u32');
    ofBuffer.set(key, { weight, exponents });
    this.forget();
    return exponents;
  }

  /** Finds them again, before whatever is submitted next. */
  async refresh(): Promise<void> {
    this.isInUse = true;
    if (this.byBuffer.size === 0) return;
    this.finding ??= this.record();
    const program = await this.finding;
    if (!this.outer.device.isPlanning) program.run();
  }

  /** To be called when a program has been recorded: readies the next `refresh`, and finds what a program met behind the first one. */
  async complete(): Promise<void> {
    if (this.finding !== undefined || this.byBuffer.size === 0) return;
    if (this.isInUse) return this.refresh();
    this.finding = this.record();
    await this.finding;
  }

  close(): void {
    this.forget();
    for (const { exponents } of this.all()) this.outer.device.destroyTensor(exponents);
    this.byBuffer.clear();
  }

  private all(): Kept[] {
    return [...this.byBuffer.values()].flatMap((ofBuffer) => [...ofBuffer.values()]);
  }

  private record(): Promise<Program> {
    const tape = new Tape(this.outer);
    for (const { weight, exponents } of this.all()) findExponents(tape, this.products, weight, exponents);
    return tape.finish('exponents of weights');
  }

  private forget(): void {
    void this.finding?.then((program) => program.dispose());
    this.finding = undefined;
  }
}
