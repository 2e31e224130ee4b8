/** An exponential average of trained weights, kept on the device in the layout of their arenas and seen as weights. */
import type { ParameterSet } from '../weights/parameters.ts';
import { Workspace } from '../autograd/workspace.ts';
import { grid } from '../autograd/launch.ts';
import { Tape } from '../autograd/tape.ts';
import type { Weights } from '../contracts/backbone.ts';
import type { WeightSource } from '../contracts/weight-source.ts';
import type { Scalar } from '../gpu/device.ts';
import { deviceSource, fillFromSource } from '../io/safetensors-stream.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface AverageSchedule {
  readonly decay: number;
  /** Updates before averaging begins; until then the average is the weights themselves. */
  readonly start: number;
}

interface AveragedArena {
  readonly values: Tensor;
  readonly flags: Tensor;
  readonly elements: number;
  readonly average: Tensor;
}

export class WeightAverage implements Weights {
  private readonly trained: ParameterSet;
  private readonly schedule: AverageSchedule;
  private readonly arenas: readonly AveragedArena[];
  private readonly gain: Scalar;

  constructor(trained: ParameterSet, schedule: AverageSchedule) {
    this.trained = trained;
    this.schedule = schedule;
    this.gain = trained.device.scalar('average gain', 1);
    this.arenas = trained.arenas.flatMap(({ values, gradients, flags, elements }, index) =>
      gradients === undefined
        ? []
        : [{ values, flags, elements, average: trained.device.tensor(`average ${index}`, [elements]) }],
    );
  }

  /** The average of a trained weight; what is not trained is given as it is. */
  get(name: string): Tensor {
    return this.averaged(this.trained.get(name));
  }

  /** All weights with the averages in place of what is trained: a file of them can be loaded like any other weights. */
  asSource(): WeightSource {
    const whole = this.trained.asSource('the average of the weights');
    const averages = deviceSource(
      this.trained.device,
      new Map(this.trainedNames.map((name) => [name, this.get(name)])),
      whole.origin,
    );
    return {
      ...whole,
      read: (name, first, count) => (averages.entries.has(name) ? averages : whole).read(name, first, count),
    };
  }

  /** Puts back what `asSource` gave. */
  async restore(source: WeightSource): Promise<void> {
    for (const name of this.trainedNames) await fillFromSource(this.trained.device, this.get(name), source, name);
  }

  /** Starts from the weights as they are. */
  async begin(): Promise<void> {
    const tape = new Tape(new Workspace(this.trained.device));
    for (const { values, average } of this.arenas) tape.copy(values, average);
    const program = await tape.finish('start of the average');
    program.run();
    await this.trained.device.settle();
    program.dispose();
  }

  /** Records what follows every update. */
  record(tape: Tape): void {
    for (const { values, flags, elements, average } of this.arenas) {
      tape.launch({
        kernel: 'optimizer/average',
        bindings: { weights: values, average, flags, gain: this.gain.tensor },
        params: { elements },
        groups: grid(Math.ceil(elements / 256)),
      });
    }
  }

  /** Sets what the next replay uses; `updates` counts from 1. */
  prepare(updates: number): void {
    this.gain.set(updates <= this.schedule.start ? 1 : 1 - this.schedule.decay);
  }

  close(): void {
    const { device } = this.trained;
    for (const { average } of this.arenas) device.destroyTensor(average);
    device.destroyTensor(this.gain.tensor);
  }

  private get trainedNames(): string[] {
    return this.trained.names.filter((name) => this.trained.isTrained(name));
  }

  private averaged(tensor: Tensor): Tensor {
    const { memory, shards: parts } = tensor;
    if (!('buffer' in memory)) return tensor;
    const found = this.arenas.find(({ values }) => 'buffer' in values.memory && values.memory.buffer === memory.buffer);
    if (found === undefined)
      return parts === undefined ? tensor : { ...tensor, shards: parts.map((part) => this.averaged(part)) };
    if (!('buffer' in found.values.memory) || !('buffer' in found.average.memory))
      throw new RangeError('an arena lives in a buffer');
    const offset = memory.offset - found.values.memory.offset + found.average.memory.offset;
    const place = { ...tensor, memory: { buffer: found.average.memory.buffer, offset } };
    return parts === undefined ? place : { ...place, shards: parts.map((part) => this.averaged(part)) };
  }
}
