/**
 * The tape records launches, and how to go back through them. Nothing runs while it records; `finish` turns the list
 * into a program that is replayed.
 *
 * Conventions: an op launches its forward and hands the tape a `backward`. Gradients of intermediate values are assigned
 * by the first contribution and added by later ones. Gradients of watched weights accumulate (+=) in buffers that
 * outlive the program, until the optimizer clears them. An input that needs no gradient gets no work. Backward never
 * reads the device. A tape made for inference records no backward at all, so models are written once. A launch between two ops
 * that declares no way back would cut the gradient: `backward` refuses it, unless it was recorded within `detached`.
 */
import type { Device } from '../gpu/device.ts';
import type { KeptExponents, MatrixProducts } from '../gpu/matrix-products.ts';
import { byteLength, sizeOf, type ElementType, type Tensor } from '../tensor/tensor.ts';
import { GradientCuts } from './cuts.ts';
import type { ActivationType, StepRange } from './kept-halves.ts';
import { Program } from './program.ts';
import type { Recompute } from './recompute.ts';
import { repetitionOf, type Repetition } from './repetition.ts';
import type { Workspace } from './workspace.ts';
import { grid, type Launch, type Step } from './launch.ts';

type Backward = (dOut: Tensor, needs: readonly boolean[]) => readonly (Tensor | undefined)[];

interface Recorded {
  readonly inputs: readonly Tensor[];
  readonly out: Tensor;
  readonly backward: Backward;
}

export interface TapeOptions {
  /** What of a `block` is computed again for the way back instead of being kept; nothing by default. */
  readonly recompute?: Recompute;
  /** How what blocks keep lies between forward and backward; f32 by default. */
  readonly activations?: ActivationType;
}

/** Records launches on a workspace until `finish` makes a program of them; the conventions stand at the head of the file. */
export class Tape {
  readonly device: Device;
  /** How products with weights, and attention, are computed; undefined: by the f32 kernels. */
  readonly products: MatrixProducts | undefined;
  /** What products with weights are scaled by on tensor cores, where it is kept. */
  readonly exponents: KeptExponents | undefined;
  private readonly workspace: Workspace;
  private readonly steps: Step[] = [];
  private readonly records: Recorded[] = [];
  /** Watched weights and where their gradients accumulate, by the bytes they live in. */
  private readonly watched = new Map<GPUBuffer, Map<number, Tensor>>();
  private readonly tracked = new Set<number>();
  private readonly gradients = new Map<number, Tensor>();
  /** Values that outlive the program, by id: their launches write where they are kept. */
  private readonly kept = new Map<number, Tensor>();
  private readonly recompute: Recompute;
  private readonly activations: ActivationType;
  private readonly repetitions: Repetition[] = [];
  /** Of the way forward. */
  private readonly blocks: StepRange[] = [];
  /** How many steps there were when the way back began. */
  private forwardEnd: number | undefined;
  private readonly cuts = new GradientCuts((tensor) => this.needs(tensor));
  /** True while nothing that is recorded belongs to the way forward: within `backward` and `detached`. */
  private isAside = false;
  private isDetached = false;
  private valueCount = 0;

  constructor(workspace: Workspace, options: TapeOptions = {}) {
    this.workspace = workspace;
    this.device = workspace.device;
    this.products = workspace.products;
    this.exponents = workspace.exponents;
    this.recompute = options.recompute ?? false;
    this.activations = options.activations ?? 'f32';
  }

  /** Asks for the gradient of a weight; it will be added to `gradient`, a tensor of the same shape. */
  watch(weight: Tensor, gradient: Tensor): void {
    if (!('buffer' in weight.memory)) throw new RangeError(`${weight.name} is not a weight`);
    const { buffer, offset } = weight.memory;
    const offsets = this.watched.get(buffer) ?? new Map<number, Tensor>();
    this.watched.set(buffer, offsets.set(offset, gradient));
  }

  /**
   * Where the gradient of `weight` accumulates, in its shape; undefined when nobody watches it. A view of a weight's first rows begins where the weight
   * does, so it is found by that: its gradient are the first rows of the weight's.
   */
  gradientOf(weight: Tensor): Tensor | undefined {
    if (!('buffer' in weight.memory)) return undefined;
    const found = this.watched.get(weight.memory.buffer)?.get(weight.memory.offset);
    return found === undefined || sizeOf(found.shape) === sizeOf(weight.shape)
      ? found
      : { ...found, shape: weight.shape };
  }

  /** True when a gradient must flow into this tensor. */
  needs(tensor: Tensor): boolean {
    return 'value' in tensor.memory ? this.tracked.has(tensor.memory.value.id) : this.gradientOf(tensor) !== undefined;
  }

  /**
   * A value that lives within the program. Must be written whole before it is read. `exact`: statistics of rows, say, that a way back reads and that stay in f32
   * where activations are kept in f16.
   */
  empty(
    name: string,
    shape: readonly number[],
    type: ElementType = 'f32',
    { exact = false }: { readonly exact?: boolean } = {},
  ): Tensor {
    const value = { id: this.valueCount++, bytes: byteLength(shape, type), ...(exact && { exact }) };
    return { name, shape, type, memory: { value } };
  }

  /** Keeps a value in f32 where activations are kept in f16: the way back makes again from it what has to add up to sums of the way forward. */
  keepExact({ memory }: Tensor): void {
    if ('value' in memory) memory.value.exact = true;
  }

  launch(launch: Launch): void {
    this.record(launch);
  }

  copy(from: Tensor, to: Tensor): void {
    this.record({ copy: { from, to } });
  }

  /** Declares `out` differentiable in `inputs`. `backward` returns one gradient per input, undefined where not needed. */
  differentiable(inputs: readonly Tensor[], out: Tensor, backward: Backward): void {
    if (this.isDetached) return;
    if (!this.isAside)
      for (const input of inputs) if (!this.needs(input)) this.cuts.record({ constant: input, of: out });
    if (!inputs.some((input) => this.needs(input))) return;
    if (!('value' in out.memory)) throw new RangeError(`${out.name}: only values of the tape are differentiable`);
    this.tracked.add(out.memory.value.id);
    this.records.push({ inputs, out, backward });
  }

  /** Starts a gradient from outside: `dOut` is the derivative of the loss by `out`. May be called for several outputs. */
  seed(out: Tensor, dOut: Tensor): void {
    if (!this.needs(out)) this.cuts.record({ constant: out, of: out });
    this.contribute(out, dOut);
  }

  /**
   * For an op whose backward kernel can add while it writes: hands over the gradient contributed to `input` so far, which the
   * op's own contribution must then contain. The tensor may be shared: read it, never write it.
   */
  takeGradient(input: Tensor): Tensor | undefined {
    if (!('value' in input.memory)) return undefined;
    const gradient = this.gradients.get(input.memory.value.id);
    this.gradients.delete(input.memory.value.id);
    return gradient && { ...gradient, shape: input.shape };
  }

  /**
   * Appends the backward launches of everything recorded, last to first. Throws GRADIENT_CUT where a launch without a way back lies
   * between a value that needs a gradient and what was made of it.
   */
  backward(): void {
    this.forwardEnd ??= this.steps.length;
    this.cuts.refuse();
    this.aside(true, () => this.goBack());
  }

  private goBack(): void {
    for (const { inputs, out, backward } of this.records.toReversed()) {
      const dOut = this.gradients.get(slotId(out));
      if (dOut === undefined) continue;
      const needs = inputs.map((input) => this.needs(input));
      // The first contribution may be to a view of `out`, and has that one's shape.
      const contributions = backward({ ...dOut, shape: out.shape }, needs);
      contributions.forEach((gradient, index) => {
        const input = inputs[index];
        if (gradient !== undefined && input !== undefined && needs[index]) this.contribute(input, gradient);
      });
      this.gradients.delete(slotId(out));
    }
    this.records.length = 0;
  }

  /** What `record` makes counts as a constant: no gradient flows back through it, on purpose. */
  detached<Result>(record: () => Result): Result {
    const before = this.isDetached;
    this.isDetached = true;
    try {
      return this.aside(true, record);
    } finally {
      this.isDetached = before;
    }
  }

  /** Records launches whose way back is not kept: for values that a backward computes again (`backwardThrough`). */
  forwardOnly<Result>(record: () => Result): Result {
    const kept = this.records.length;
    const result = record();
    this.records.length = kept;
    return result;
  }

  /**
   * For a backward that computes values again instead of having kept them: records what `record` does and goes back through it
   * at once. `record` seeds its last value; gradients reach older values and weights as if they had been returned.
   */
  backwardThrough(record: () => void): void {
    const waiting = this.records.splice(0);
    this.aside(false, record);
    this.backward();
    this.records.push(...waiting);
  }

  /**
   * A part of a model that only hands on what it returns, a layer of a decoder say. With `recompute`, its values are not kept for
   * the way back but computed again from what it reads, bit for bit, but for those that a budget has room for: memory for up to one more
   * forward pass. `record` runs twice, and must record the same launches of the same tensors each time. Throws a RangeError where it does not.
   */
  block(record: () => Tensor): Tensor {
    const first = this.recorderAt();
    const out = this.recompute === false ? record() : this.forwardOnly(record);
    const count = this.steps.length - first.step;
    if (this.forwardEnd === undefined) this.blocks.push({ first: first.step, count });
    if (this.recompute === false) return out;
    if (!this.needs(out)) return out;
    this.records.push({
      inputs: [],
      out,
      backward: (dOut) => {
        this.backwardThrough(() => {
          const again = this.recorderAt();
          const value = record();
          this.repetitions.push(repetitionOf(out.name, this.steps, first, again, count));
          this.seed(value, dOut);
        });
        return [];
      },
    });
    return out;
  }

  /** Keeps a value after the program: returns a tensor with a buffer of its own that every run fills. */
  output(tensor: Tensor): Tensor {
    const kept = this.device.tensor(tensor.name, tensor.shape, tensor.type);
    // A value of the tape is written where it is kept; a weight, a part of a value, and a second copy are copied.
    const value = 'value' in tensor.memory ? tensor.memory.value : undefined;
    if (value === undefined || this.kept.has(value.id) || value.bytes !== byteLength(tensor.shape, tensor.type))
      this.copy(tensor, kept);
    else this.kept.set(value.id, kept);
    return kept;
  }

  /** What was recorded, for tests and plans that need no device memory. */
  get recorded(): readonly Step[] {
    return this.steps;
  }

  finish(name: string): Promise<Program> {
    const steps = this.steps.map((step) => this.placed(step));
    const keep = typeof this.recompute === 'object' ? this.recompute.budget : 0;
    const { repetitions, activations, blocks, forwardEnd = steps.length } = this;
    return Program.create(name, this.workspace, steps, { repetitions, keep, activations, blocks, forwardEnd });
  }

  private record(step: Step): void {
    this.steps.push(step);
    if (!this.isAside) this.cuts.record(step);
  }

  private recorderAt(): { step: number; value: number } {
    return { step: this.steps.length, value: this.valueCount };
  }

  private aside<Result>(isAside: boolean, record: () => Result): Result {
    const before = this.isAside;
    this.isAside = isAside;
    try {
      return record();
    } finally {
      this.isAside = before;
    }
  }

  private place(tensor: Tensor): Tensor {
    const kept = 'value' in tensor.memory ? this.kept.get(tensor.memory.value.id) : undefined;
    return kept === undefined ? tensor : { ...tensor, memory: kept.memory };
  }

  private placed(step: Step): Step {
    if (this.kept.size === 0) return step;
    if ('copy' in step) return { copy: { from: this.place(step.copy.from), to: this.place(step.copy.to) } };
    return {
      ...step,
      bindings: Object.fromEntries(Object.entries(step.bindings).map(([name, tensor]) => [name, this.place(tensor)])),
    };
  }

  private contribute(input: Tensor, gradient: Tensor): void {
    const persistent = 'value' in input.memory ? undefined : this.gradientOf(input);
    if (persistent !== undefined) {
      this.add(persistent, gradient, persistent);
      return;
    }
    const id = slotId(input);
    const known = this.gradients.get(id);
    if (known === undefined) {
      this.gradients.set(id, { ...gradient, shape: input.shape });
      return;
    }
    const sum = this.empty(`d ${input.name}`, input.shape);
    this.add(known, gradient, sum);
    this.gradients.set(id, sum);
  }

  /** sum = a + b; in place when `sum` is `a`. */
  private add(a: Tensor, b: Tensor, sum: Tensor): void {
    const count = sizeOf(sum.shape);
    const groups = grid(Math.ceil(count / 256));
    if (a === sum)
      this.launch({ kernel: 'pointwise/accumulate', bindings: { value: b, sum }, params: { count }, groups });
    else this.launch({ kernel: 'pointwise/add', bindings: { a, b, sum }, params: { count }, groups });
  }
}

function slotId(tensor: Tensor): number {
  if (!('value' in tensor.memory)) throw new RangeError(`${tensor.name} is not a value of a tape`);
  return tensor.memory.value.id;
}
