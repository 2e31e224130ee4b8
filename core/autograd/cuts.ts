/**
 * Finds where a gradient would end in silence: a launch reads a value that needs one and writes another, nobody declares the way
 * back between them, and what was written then counts as a constant, in an op with a way back or as the end of the loss.
 */
import { ReasongenError } from '../errors.ts';
import { loadKernel, type KernelBinding } from '../gpu/kernel.ts';
import { isPacked, type Tensor } from '../tensor/tensor.ts';
import type { Launch, Step } from './launch.ts';

/** A tensor that was taken for a constant: as an input of the op that made `of`, or as `of` itself, where a loss was seeded. */
export interface ConstantUse {
  readonly constant: Tensor;
  readonly of: Tensor;
}

interface Cut {
  /** The kernel, or "a copy". */
  readonly by: string;
  readonly from: Tensor;
  readonly to: Tensor;
}

interface Access {
  readonly by: string;
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
}

export class GradientCuts {
  private readonly needs: (tensor: Tensor) => boolean;
  private readonly recorded: (Step | ConstantUse)[] = [];
  /** What depends on a value that needs a gradient and needs none itself, with the first step that cut it off. */
  private readonly severed = new Map<unknown, Map<number, Cut>>();
  private readonly kernels = new Map<string, readonly KernelBinding[]>();

  /** `needs`: whether a gradient flows into a tensor. */
  constructor(needs: (tensor: Tensor) => boolean) {
    this.needs = needs;
  }

  record(step: Step | ConstantUse): void {
    this.recorded.push(step);
  }

  /** Looks at what was recorded since the last call. Throws GRADIENT_CUT. */
  refuse(): void {
    for (const item of this.recorded.splice(0)) {
      if ('constant' in item) this.refuseUse(item);
      else this.follow(this.access(item));
    }
  }

  private refuseUse({ constant, of }: ConstantUse): void {
    const cut = this.cutOf(constant);
    if (cut === undefined) return;
    const use = constant === of ? `${of.name} is the loss` : `${of.name} is computed from ${constant.name}`;
    const way = cut.to.name === constant.name ? '' : `, on the way to ${constant.name}`;
    throw new ReasongenError({
      code: 'GRADIENT_CUT',
      message: `${use}, but ${cut.by} reads ${cut.from.name}, which needs a gradient, and writes ${cut.to.name}${way} without a way back: what lies before it would learn nothing from it`,
      hint: `declare the way back, tape.differentiable([${cut.from.name}], ${cut.to.name}, backward), or say that there is to be none: tape.detached(() => ...)`,
    });
  }

  private follow({ by, reads, writes }: Access): void {
    const [before] = reads.flatMap((tensor) => this.cutOf(tensor) ?? []);
    const from = reads.find((tensor) => this.needs(tensor));
    for (const to of writes) {
      // Indices and codes are constants to every gradient.
      if (this.needs(to) || to.type === 'u32' || isPacked(to.type)) continue;
      const cut = before ?? (from && { by, from, to });
      if (cut === undefined) return;
      const [memory, place] = placeOf(to);
      this.severed.set(memory, (this.severed.get(memory) ?? new Map<number, Cut>()).set(place, cut));
    }
  }

  private cutOf(tensor: Tensor): Cut | undefined {
    const [memory, place] = placeOf(tensor);
    return this.severed.get(memory)?.get(place);
  }

  private access(step: Step): Access {
    if ('copy' in step) return { by: 'a copy', reads: [step.copy.from], writes: [step.copy.to] };
    const bound = this.bindingsOf(step).flatMap(({ name, access }) => {
      const tensor = step.bindings[name];
      return tensor === undefined ? [] : [{ tensor, isWritten: access === 'read_write' }];
    });
    return {
      by: `the kernel ${String(step.kernel)}`,
      reads: bound.map(({ tensor }) => tensor),
      writes: bound.filter(({ isWritten }) => isWritten).map(({ tensor }) => tensor),
    };
  }

  private bindingsOf({ kernel, constants = {} }: Launch): readonly KernelBinding[] {
    const key = `${String(kernel)} ${JSON.stringify(constants)}`;
    const known = this.kernels.get(key) ?? loadKernel(kernel, constants).bindings;
    this.kernels.set(key, known);
    return known;
  }
}

/** Of a value of the tape its number; of a kept tensor its buffer and the range's start. */
function placeOf({ memory }: Tensor): [memory: unknown, place: number] {
  return 'buffer' in memory ? [memory.buffer, memory.offset] : [memory.value.id, 0];
}
