/**
 * Drawing in the process of a run. A launch of a small decoder is so short that the threads of a software driver, which wait for each other behind every one,
 * stand idle for a good part of the time (test/bench/LOG.md). Devices that share no threads wait for nobody: a request is divided among some, and its sequences have the
 * same bits. Everywhere else the device of the run draws.
 */
import { Workspace } from '../autograd/workspace.ts';
import type { DrawRequest, DrawSizes, SequenceDrawer, SharedWeights } from '../contracts/executor.ts';
import type { Device } from '../gpu/device.ts';
import type { SampledSequence, SampleProgress } from '../nn/sampling.ts';
import { largestShare, shareRange } from '../ranks/shares.ts';
import { at } from '../tensor/at.ts';
import { ReceivedWeights, shareWeights } from '../weights/exchange.ts';
import { openSequenceDrawer, type DrawingModel } from './sequences.ts';

/** Of each device at least: with fewer the tiles of its kernels are half empty, and its start costs more than it saves. */
const fewestRows = 32;

/** Every device has a copy of the weights. The launches of larger models take long enough for threads to share. */
const mostWeightBytes = 32 * 2 ** 20;

/** Makes the programs of the largest requests, on the device of the model or on several beside it. */
export async function openLocalDrawer(model: DrawingModel, sizes: DrawSizes): Promise<SequenceDrawer> {
  const { device } = model.workspace;
  const count = Math.min(device.divisibleThreads, Math.floor(sizes.rows / fewestRows));
  if (count < 2 || sizes.precision !== 'f32') return openSequenceDrawer(model, sizes);
  const shared = shareWeights(device, model.backbone, model.weights);
  const bytes = shared.names.reduce((sum, name) => sum + shared.byteLength(name), 0);
  if (bytes > mostWeightBytes) return openSequenceDrawer(model, sizes);
  const threads = Math.floor(device.divisibleThreads / count);
  const devices = await device.beside(count, threads).catch((cause: unknown) => {
    model.log?.warn(`drawing on one device: no other could be opened (${String(cause)})`);
    return undefined;
  });
  return devices === undefined ? openSequenceDrawer(model, sizes) : DividedDrawer.open(model, shared, sizes, devices);
}

/** One of the devices, with weights of its own. */
interface Part {
  readonly workspace: Workspace;
  readonly weights: ReceivedWeights;
  readonly drawer: SequenceDrawer;
}

/** A share of a request, and where its sequences belong. */
interface Share {
  readonly request: DrawRequest;
  readonly places: readonly number[];
}

class DividedDrawer implements SequenceDrawer {
  private readonly parts: readonly Part[];
  private readonly shared: SharedWeights;
  /** Of the weights that the parts have; undefined where nobody counts. */
  private version: number | undefined;
  private hasWeights = false;

  private constructor(shared: SharedWeights, parts: readonly Part[]) {
    this.shared = shared;
    this.parts = parts;
  }

  static async open(
    { backbone, tokenizer }: DrawingModel,
    shared: SharedWeights,
    sizes: DrawSizes,
    devices: readonly Device[],
  ): Promise<DividedDrawer> {
    const parts = await Promise.all(
      devices.map(async (device): Promise<Part> => {
        const own = { workspace: new Workspace(device), weights: new ReceivedWeights(device, backbone, shared.layout) };
        const drawer = await openSequenceDrawer({ ...own, backbone, tokenizer }, shareOf(sizes, devices.length));
        return { ...own, drawer };
      }),
    );
    return new DividedDrawer(shared, parts);
  }

  async draw(request: DrawRequest, onProgress?: (progress: SampleProgress) => void): Promise<SampledSequence[]> {
    await this.handOutWeights();
    const shares = divide(request, this.parts.length);
    const progress = onProgress && combined(shares.length, request.rowKeys.length, onProgress);
    // Also where one fails: nobody is asked for the next while the last is drawn.
    const drawn = await Promise.allSettled(
      shares.map((share, index) => at(this.parts, index).drawer.draw(share.request, progress?.(index))),
    );
    const sequences = new Array<SampledSequence>(request.rowKeys.length);
    for (const [index, { places }] of shares.entries()) {
      const share = at(drawn, index);
      if (share.status === 'rejected') throw share.reason;
      for (const [number, place] of places.entries()) sequences[place] = at(share.value, number);
    }
    return sequences;
  }

  close(): void {
    for (const { workspace, weights, drawer } of this.parts) {
      drawer.close();
      workspace.close();
      weights.close();
    }
  }

  /** Those that may have changed, as they are now. */
  private async handOutWeights(): Promise<void> {
    const { shared } = this;
    const version = shared.version();
    if (this.hasWeights && version !== undefined && version === this.version) return;
    const names = this.hasWeights ? shared.names.filter((name) => shared.moves(name)) : shared.names;
    const bytes = await shared.read(names);
    for (const { weights } of this.parts)
      for (const [index, name] of names.entries()) weights.write(name, at(bytes, index));
    this.version = version;
    this.hasWeights = true;
  }
}

/** The largest that one of so many devices draws at once. */
function shareOf(sizes: DrawSizes, count: number): DrawSizes {
  const samples = Math.ceil(sizes.rows / sizes.prompts);
  const isByPrompts = sizes.prompts >= count;
  const prompts = isByPrompts ? largestShare(sizes.prompts, { size: count }) : sizes.prompts;
  const rows = prompts * (isByPrompts ? samples : largestShare(samples, { size: count }));
  return { ...sizes, prompts, rows };
}

/** At most so many shares: of the prompts, or of the samples of each where there are fewer prompts. */
function divide(request: DrawRequest, count: number): Share[] {
  const { prompts, samplesPerPrompt, rationale } = request;
  const isByPrompts = prompts.length >= count;
  const divided = isByPrompts ? prompts.length : samplesPerPrompt;
  const size = Math.min(divided, count);
  return range(0, size).map((rank): Share => {
    const [start, end] = shareRange(divided, { rank, size });
    const ofPrompts = isByPrompts ? range(start, end) : range(0, prompts.length);
    const ofSamples = isByPrompts ? range(0, samplesPerPrompt) : range(start, end);
    const places = ofPrompts.flatMap((prompt) => ofSamples.map((sample) => prompt * samplesPerPrompt + sample));
    return {
      places,
      request: {
        ...request,
        prompts: ofPrompts.map((prompt) => at(prompts, prompt)),
        samplesPerPrompt: ofSamples.length,
        rowKeys: places.map((place) => at(request.rowKeys, place)),
        rationale: typeof rationale === 'string' ? rationale : ofPrompts.map((prompt) => at(rationale, prompt)),
      },
    };
  });
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}

/** Tells of a request what its shares tell of themselves: as far as the slowest of them is. */
function combined(
  shares: number,
  samples: number,
  tell: (progress: SampleProgress) => void,
): (share: number) => (progress: SampleProgress) => void {
  const known = new Map<number, SampleProgress>();
  const placeOf = ({ phase, step, finished }: SampleProgress): readonly number[] => [
    finished,
    phase === 'image' ? 1 : 0,
    step,
  ];
  const isBehind = (one: SampleProgress, other: SampleProgress): boolean => {
    const [a, b] = [placeOf(one), placeOf(other)];
    const first = a.findIndex((value, index) => value !== b[index]);
    return first >= 0 && at(a, first) < at(b, first);
  };
  let last: SampleProgress | undefined;
  return (share) => (progress) => {
    known.set(share, progress);
    if (known.size < shares) return;
    const all = [...known.values()];
    const slowest = all.reduce((one, other) => (isBehind(other, one) ? other : one));
    if (last !== undefined && !isBehind(last, slowest)) return;
    last = slowest;
    const sum = (of: (each: SampleProgress) => number): number => all.reduce((total, each) => total + of(each), 0);
    tell({ ...slowest, rows: sum(({ rows }) => rows), finished: sum(({ finished }) => finished), samples });
  };
}
