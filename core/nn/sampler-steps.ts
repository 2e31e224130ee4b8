/** The programs of a sampler: one decoding step each, recorded once for a phase and a number of rows. */
import type { Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import { sample, type SamplingTable } from '../ops/sample.ts';
import { WeightExponents } from '../ops/weight-exponents.ts';
import { rowsOf, type Tensor } from '../tensor/tensor.ts';
import type { SampledRows } from './sampled-rows.ts';
import type { SamplerOptions } from './sampling.ts';

export type SamplerPhase = 'text' | 'image start' | 'image';

/** How tokens of either kind are drawn: one rule for all rows, or one for each. */
export interface SamplingTables {
  readonly text: SamplingTable;
  readonly image: SamplingTable;
}

/** A step of text that keeps the logits its tokens were drawn from. */
export interface TextStepWithLogits {
  readonly program: Program;
  /** f32 [rows, textVocabulary] */
  readonly logits: Tensor;
}

export class SamplerSteps {
  private readonly options: SamplerOptions;
  private readonly rows: SampledRows;
  private readonly settings: SamplingTables;
  /** Of the weights, which do not change from one token to the next; undefined without tensor cores. */
  private readonly exponents: WeightExponents | undefined;
  private readonly programs = new Map<string, Promise<Program>>();
  private readonly withLogits = new Map<number, Promise<TextStepWithLogits>>();

  constructor(options: SamplerOptions, rows: SampledRows, settings: SamplingTables) {
    this.options = options;
    this.rows = rows;
    this.settings = settings;
    const { workspace } = options;
    if (workspace.products !== undefined) this.exponents = new WeightExponents(workspace, workspace.products);
  }

  /** To be called before the first step of a drawing: its weights may be others than those of the last one. */
  async begin(): Promise<void> {
    await this.exponents?.refresh();
  }

  /** The step of so many rows; `guided` ones feed each a second time. */
  async program(phase: SamplerPhase, guided: boolean, rows: number): Promise<Program> {
    const name = nameOf(phase, guided, rows);
    let pending = this.programs.get(name);
    if (pending === undefined) {
      pending = this.record(phase, guided, rows).tape.finish(name);
      this.programs.set(name, pending);
    }
    const program = await pending;
    await this.exponents?.complete();
    return program;
  }

  /** A step of text for so many rows, the same bits, whose logits can be read. */
  async textWithLogits(rows: number): Promise<TextStepWithLogits> {
    let pending = this.withLogits.get(rows);
    if (pending === undefined) {
      const { tape, logits } = this.record('text', false, rows, true);
      pending = tape.finish(`${nameOf('text', false, rows)} with logits`).then((program) => ({ program, logits }));
      this.withLogits.set(rows, pending);
    }
    const step = await pending;
    await this.exponents?.complete();
    return step;
  }

  close(): void {
    for (const program of this.programs.values()) void program.then((made) => made.dispose());
    this.programs.clear();
    for (const step of this.withLogits.values()) void this.closeStep(step);
    this.withLogits.clear();
    this.exponents?.close();
  }

  private async closeStep(step: Promise<TextStepWithLogits>): Promise<void> {
    const { program, logits } = await step;
    program.dispose();
    this.options.device.destroyTensor(logits);
  }

  private record(
    phase: SamplerPhase,
    guided: boolean,
    rows: number,
    keepsLogits = false,
  ): { readonly tape: Tape; readonly logits: Tensor } {
    const { workspace, backbone, weights } = this.options;
    const { cache } = this.rows;
    const tape = new Tape(this.exponents?.workspace ?? workspace);
    const fed = guided ? 2 * rows : rows;
    const state = {
      ...this.rows.state,
      current: rowsOf(this.rows.state.current, fed),
      positions: rowsOf(this.rows.state.positions, fed),
    };
    const x =
      phase === 'image'
        ? backbone.embedImage(tape, weights, state.current)
        : backbone.embedText(tape, weights, state.current);
    const hidden = backbone.step(tape, weights, x, state.positions, {
      ...cache,
      cacheRows: rowsOf(cache.cacheRows, fed),
    });
    const isText = phase === 'text';
    const logits = isText ? backbone.textLogits(tape, weights, hidden) : backbone.imageLogits(tape, weights, hidden);
    const kept = keepsLogits ? tape.output(logits) : logits;
    sample(tape, logits, state, isText ? this.settings.text : this.settings.image, {
      phase: isText ? 'text' : 'image',
      guided,
      ...this.stops(),
    });
    return { tape, logits: kept };
  }

  /** In a text-only run the end token is to a text what the image start is to a rationale, and another one what the end token is to that. */
  private stops(): { imageStart: number; end?: number } {
    const { special, imageCount } = this.options;
    const { imageStart, eos, otherEnd } = special;
    if (imageCount > 0) return eos === undefined ? { imageStart } : { imageStart, end: eos };
    if (eos === undefined) throw new RangeError('a text-only sampler needs an end token');
    return otherEnd === undefined ? { imageStart: eos } : { imageStart: eos, end: otherEnd };
  }
}

function nameOf(phase: SamplerPhase, guided: boolean, rows: number): string {
  return `sample ${phase}${guided ? ' with guidance' : ''}, ${rows} rows`;
}
