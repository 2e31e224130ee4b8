/** The programs of a sampler: one decoding step each, recorded once for a phase and a number of rows. */
import type { Program } from '../autograd/program.ts';
import { Tape } from '../autograd/tape.ts';
import { createSamplingSettings, sample, type SamplingSettings } from '../ops/sample.ts';
import { rowsOf, type SampledRows } from './sampled-rows.ts';
import type { SamplerOptions } from './sampling.ts';

export type SamplerPhase = 'text' | 'image start' | 'image';

export class SamplerSteps {
  readonly textSettings: SamplingSettings;
  readonly imageSettings: SamplingSettings;
  private readonly options: SamplerOptions;
  private readonly rows: SampledRows;
  private readonly programs = new Map<string, Promise<Program>>();

  constructor(options: SamplerOptions, rows: SampledRows) {
    this.options = options;
    this.rows = rows;
    this.textSettings = createSamplingSettings(options.device, 'text sampling');
    this.imageSettings = createSamplingSettings(options.device, 'image sampling');
  }

  /** The step of so many rows; `guided` ones feed each a second time. */
  program(phase: SamplerPhase, guided: boolean, rows: number): Promise<Program> {
    const name = `sample ${phase}${guided ? ' with guidance' : ''}, ${rows} rows`;
    let pending = this.programs.get(name);
    if (pending === undefined) {
      pending = this.record(name, phase, guided, rows);
      this.programs.set(name, pending);
    }
    return pending;
  }

  close(): void {
    for (const program of this.programs.values()) void program.then((made) => made.dispose());
    this.programs.clear();
    for (const { tensor } of [this.textSettings, this.imageSettings]) this.options.device.destroyTensor(tensor);
  }

  private record(name: string, phase: SamplerPhase, guided: boolean, rows: number): Promise<Program> {
    const { workspace, backbone, weights } = this.options;
    const { cache } = this.rows;
    const tape = new Tape(workspace);
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
    sample(tape, logits, state, isText ? this.textSettings : this.imageSettings, {
      phase: isText ? 'text' : 'image',
      guided,
      ...this.stops(),
    });
    return tape.finish(name);
  }

  /** In a text-only run the end token is to a text what the image start is to a rationale. */
  private stops(): { imageStart: number; end?: number } {
    const { special, imageCount } = this.options;
    const { imageStart, eos } = special;
    if (imageCount > 0) return eos === undefined ? { imageStart } : { imageStart, end: eos };
    if (eos === undefined) throw new RangeError('a text-only sampler needs an end token');
    return { imageStart: eos };
  }
}
