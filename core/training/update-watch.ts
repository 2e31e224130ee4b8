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
import type { Communicator } from '../contracts/communicator.ts';
import { gatherPacked } from '../ranks/packed.ts';
import { single } from '../ranks/single.ts';
import { partOf } from './parts.ts';

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

/** A parameter, or a shard of one: arena and range, in vec4. */
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
  private readonly communicator: Communicator;
  /** What each range of runs belongs to; a parameter with parts has several. */
  private readonly pieces: readonly Piece[];
  private readonly parts: readonly Part[];
  private readonly runs: Tensor;
  private readonly ranges: Tensor;
  private readonly totals: Readonly<Record<'before' | 'after', Tensor>>;
  private readonly runCount: number;

  /** Over ranks each looks at the parts of the arenas that it moves. */
  constructor(trained: ParameterSet, communicator: Communicator = single) {
    const { device } = trained;
    this.trained = trained;
    this.communicator = communicator;
    const layout = layOut(trained, communicator);
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
      if (count === 0) continue;
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

  /** What the last update did, on all ranks. */
  async read(): Promise<UpdateFindings> {
    const totals = await this.trained.device.read([this.totals.before, this.totals.after]);
    const bytes = totals.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
    const ranks = await gatherPacked(this.communicator, { before: at(bytes, 0), after: at(bytes, 1) });
    const looks = ranks.map(({ before, after }) => ({ before: lookOf(before), after: lookOf(after) }));
    const squares = new Map<string, number>();
    const unmoved = new Set<string>();
    const elements = { trained: 0, unmoved: 0 };
    let [sumBefore, sumAfter] = [0, 0];
    this.pieces.forEach(({ name, count }, index) => {
      const sum = (of: (look: (typeof looks)[number]) => number): number =>
        looks.reduce((total, look) => total + of(look), 0);
      const square = sum(({ before }) => at(before.floats, 4 * index));
      squares.set(groupOf(name), (squares.get(groupOf(name)) ?? 0) + square);
      sumBefore += sum(({ before }) => at(before.floats, 4 * index + 1));
      sumAfter += sum(({ after }) => at(after.floats, 4 * index + 1));
      if (square === 0) return;
      elements.trained += count;
      if (looks.some(({ before, after }) => before.words[4 * index + 2] !== after.words[4 * index + 2])) return;
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

/** Of each piece: sums of squares of gradients and weights as floats, a hash of the weights as a word. */
function lookOf({ buffer, byteOffset, byteLength }: Uint8Array): {
  readonly floats: Float32Array;
  readonly words: Uint32Array;
} {
  return {
    floats: new Float32Array(buffer, byteOffset, byteLength / 4),
    words: new Uint32Array(buffer, byteOffset, byteLength / 4),
  };
}

/** Cuts the rank's part of every trained parameter into runs, arena by arena: (first vec4, vec4s) of each run, (first run, runs) of each piece. */
function layOut(
  trained: ParameterSet,
  communicator: Communicator,
): { pieces: Piece[]; parts: Part[]; runs: number[]; ranges: number[] } {
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
    const [from, to] = partOf(trained.arenas[arena]?.elements ?? 0, communicator);
    const end = Math.min(first + count, to / 4);
    for (let start = Math.max(first, from / 4); start < end; start += runLength / 4)
      runs.push(start, Math.min(runLength / 4, end - start));
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
