/**
 * Looks at every update: how large the gradient of each part of the model was, whether its weights moved, and by how much the
 * weights as a whole have grown. One pass over weights and gradients before the update and one after, on the device.
 */
import type { ParameterSet } from '../weights/parameters.ts';
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import { groupOf } from './name-patterns.ts';
import { at } from '../tensor/at.ts';

/** Elements one thread adds up. */
const runLength = 4096;

export interface UpdateFindings {
  /** Norm of the gradient by part of the model. */
  readonly gradientNorms: ReadonlyMap<string, number>;
  /** Parameters that had a gradient other than zero and moved in no bit. */
  readonly unmoved: readonly string[];
  /** Their share of the elements that had a gradient. */
  readonly unmovedShare: number;
  /** Norm of all trained weights after the update divided by that before; 1 when it was zero. */
  readonly growth: number;
}

/** A parameter, or a part of one: arena and range, in vec4. */
interface Piece {
  readonly name: string;
  readonly arena: number;
  readonly first: number;
  readonly count: number;
}

/** The runs of one arena. */
interface Part {
  readonly arena: number;
  /** Of its runs among all. */
  readonly offset: number;
  readonly count: number;
}

export class UpdateWatch {
  private readonly trained: ParameterSet;
  /** What each range of runs belongs to; a parameter with parts has several. */
  private readonly pieces: readonly Piece[];
  private readonly parts: readonly Part[];
  private readonly runs: Tensor;
  private readonly ranges: Tensor;
  private readonly totals: Readonly<Record<'before' | 'after', Tensor>>;
  private readonly runCount: number;

  constructor(trained: ParameterSet) {
    const { device } = trained;
    this.trained = trained;
    const layout = layOut(trained);
    this.pieces = layout.pieces;
    this.parts = layout.parts;
    this.runCount = layout.runs.length / 2;
    this.runs = device.tensor('runs of weights', [Math.max(1, this.runCount), 2], 'u32', Uint32Array.from(layout.runs));
    this.ranges = device.tensor('runs by parameter', [this.pieces.length, 2], 'u32', Uint32Array.from(layout.ranges));
    const totals = (when: string): Tensor =>
      device.tensor(`weights ${when} the update`, [this.pieces.length, 4], 'u32');
    this.totals = { before: totals('before'), after: totals('after') };
  }

  /** Records a look; once before the optimizer's launches and once behind them. */
  record(tape: Tape, when: 'before' | 'after'): void {
    const sums = tape.empty('sums of runs', [Math.max(1, this.runCount), 4], 'u32');
    for (const { arena, offset, count } of this.parts) {
      const { values, gradients } = this.trained.arenas[arena] ?? {};
      if (values === undefined || gradients === undefined) throw new RangeError(`arena ${arena} is not trained`);
      tape.launch({
        kernel: 'optimizer/inspect',
        bindings: { weights: values, gradients, runs: this.runs, sums },
        params: { runs: count, offset },
        groups: grid(Math.ceil(count / 64)),
      });
    }
    const parameters = this.pieces.length;
    tape.launch({
      kernel: 'optimizer/inspect-sum',
      bindings: { sums, ranges: this.ranges, totals: this.totals[when] },
      params: { parameters },
      groups: grid(Math.ceil(parameters / 64)),
    });
  }

  /** What the last update did. */
  async read(): Promise<UpdateFindings> {
    const [before, after] = await this.trained.device.read([this.totals.before, this.totals.after]);
    if (!(before instanceof Uint32Array) || !(after instanceof Uint32Array))
      throw new RangeError('unreachable: totals are words');
    const [floatsBefore, floatsAfter] = [new Float32Array(before.buffer), new Float32Array(after.buffer)];
    const squares = new Map<string, number>();
    const unmoved = new Set<string>();
    const elements = { trained: 0, unmoved: 0 };
    let [sumBefore, sumAfter] = [0, 0];
    this.pieces.forEach(({ name, count }, index) => {
      const square = at(floatsBefore, 4 * index);
      squares.set(groupOf(name), (squares.get(groupOf(name)) ?? 0) + square);
      sumBefore += at(floatsBefore, 4 * index + 1);
      sumAfter += at(floatsAfter, 4 * index + 1);
      if (square === 0) return;
      elements.trained += count;
      if (before[4 * index + 2] !== after[4 * index + 2]) return;
      elements.unmoved += count;
      unmoved.add(name);
    });
    return {
      gradientNorms: new Map([...squares].map(([group, sum]) => [group, Math.sqrt(sum)])),
      unmoved: [...unmoved],
      unmovedShare: elements.unmoved / Math.max(1, elements.trained),
      growth: sumBefore === 0 ? 1 : Math.sqrt(sumAfter / sumBefore),
    };
  }

  close(): void {
    for (const tensor of [this.runs, this.ranges, this.totals.before, this.totals.after])
      this.trained.device.destroyTensor(tensor);
  }
}

/** Cuts every trained parameter into runs, arena by arena: (first vec4, vec4s) of each run, (first run, runs) of each piece. */
function layOut(trained: ParameterSet): { pieces: Piece[]; parts: Part[]; runs: number[]; ranges: number[] } {
  const names = trained.names.filter((name) => trained.gradient(name) !== undefined);
  const pieces = names.flatMap((name) => {
    const whole = trained.get(name);
    return (whole.shards ?? [whole]).map((piece) => ({ name, ...locate(trained, piece) }));
  });
  pieces.sort((a, b) => a.arena - b.arena);
  const runs: number[] = [];
  const ranges: number[] = [];
  const parts: Part[] = [];
  for (const { arena, first, count } of pieces) {
    const offset = runs.length / 2;
    for (let start = 0; start < count; start += runLength / 4)
      runs.push(first + start, Math.min(runLength / 4, count - start));
    const added = runs.length / 2 - offset;
    ranges.push(offset, added);
    const last = parts.at(-1);
    if (last?.arena === arena) parts[parts.length - 1] = { ...last, count: last.count + added };
    else parts.push({ arena, offset, count: added });
  }
  return { pieces, parts, runs, ranges };
}

/** Arena and range, in vec4, of a weight. */
function locate(
  trained: ParameterSet,
  { name, shape, memory }: Tensor,
): { arena: number; first: number; count: number } {
  const arena = trained.arenas.findIndex(
    ({ values }) => 'buffer' in memory && 'buffer' in values.memory && values.memory.buffer === memory.buffer,
  );
  const values = trained.arenas[arena]?.values;
  if (values === undefined || !('buffer' in memory) || !('buffer' in values.memory))
    throw new RangeError(`${name} lies in no arena`);
  return { arena, first: (memory.offset - values.memory.offset) / 16, count: Math.ceil(sizeOf(shape) / 4) };
}
