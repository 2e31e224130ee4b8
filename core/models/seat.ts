/** Where a model answers on one device: there from the first question on, or there only while it is asked. */
import type { Device } from '../gpu/device.ts';
import { type HostCopy } from '../weights/host-copy.ts';
import type { Answerer } from './answerer.ts';

/** A model on the device, and how it leaves. */
export interface Seated {
  readonly answerer: Answerer;
  /** Its weights, for when it comes back. */
  keep(): Promise<HostCopy>;
  close(): Promise<void>;
}

export interface SeatOptions {
  readonly device: Device;
  /** Puts the model on the device, from the host where it has been there before. */
  readonly make: (kept: HostCopy | undefined) => Promise<Seated>;
  /** Makes room before the model comes: what it returns is called when it has left again. Absent: the model stays. */
  readonly makeRoom?: (() => Promise<() => void>) | undefined;
}

export class Seat {
  private readonly options: SeatOptions;
  private seated: Promise<Seated> | undefined;
  private kept: HostCopy | undefined;
  private roomTaken: (() => void) | undefined;
  /** What it is asked for at the moment. */
  private readonly asked = new Set<Promise<unknown>>();
  /** The next one to come waits for the last one to leave. */
  private leaving: Promise<void> = Promise.resolve();

  constructor(options: SeatOptions) {
    this.options = options;
  }

  /** The model stays while the work is done, whoever still waits for that. */
  async during<Result>(work: (answerer: Answerer) => Promise<Result>): Promise<Result> {
    const result = this.open().then(work);
    const settled = result.catch(() => undefined);
    this.asked.add(settled);
    try {
      return await result;
    } finally {
      this.asked.delete(settled);
    }
  }

  /** Once it has answered, a model that comes and goes leaves: its weights to the memory of the host, everything else for good. */
  rest(): Promise<void> {
    if (this.options.makeRoom !== undefined) this.leaving = this.putAway(this.leaving);
    return this.leaving;
  }

  async close(): Promise<void> {
    await this.leaving.catch(() => undefined);
    await (await this.seated)?.close();
  }

  private async open(): Promise<Answerer> {
    await this.leaving;
    this.seated ??= this.enter();
    const entering = this.seated;
    entering.catch(() => {
      if (this.seated === entering) this.seated = undefined;
    });
    return (await entering).answerer;
  }

  private async enter(): Promise<Seated> {
    const { make, makeRoom } = this.options;
    this.roomTaken = await makeRoom?.();
    return make(this.kept);
  }

  private async putAway(before: Promise<void>): Promise<void> {
    await before;
    await Promise.all(this.asked);
    const { seated } = this;
    if (seated === undefined) return;
    this.seated = undefined;
    const model = await seated;
    this.kept ??= await model.keep();
    await model.close();
    this.roomTaken?.();
  }
}
