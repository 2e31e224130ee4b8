/** What a run remembers from step to step beside weights and optimizer, and keeps in its checkpoints. */
import type { Json } from '../../io/checkpoint.ts';
import type { EntropyControllerState } from '../../rl/entropy-controller.ts';
import type { KlController } from '../../rl/kl-controller.ts';
import { HackWatch, type HackWatchState } from '../../rl/hack-watch.ts';
import { emptyHistory, type RewardHistory } from '../../training/guards.ts';
import type { DrawnAhead } from './ahead.ts';
import { groupFromJson, groupToJson, type TrainedGroup } from './carry.ts';
import type { PromptSource } from './prompt-source.ts';
import type { GrpoUpdate } from './update.ts';

/** As it lies in a checkpoint. */
export type GrpoState = {
  readonly position: number;
  readonly tooLong: number;
  readonly history: { readonly [Name in keyof RewardHistory]: number };
  readonly controllers: { readonly [kind: string]: { readonly [Name in keyof EntropyControllerState]: number } };
  readonly kl: { readonly coefficient: number } | null;
  readonly carried: readonly Json[];
  /** Absent in checkpoints of earlier versions: the watch then begins with the steps it sees. */
  readonly watch?: HackWatchState;
};

export class GrpoMemory {
  /** Of rewards, for the guards. */
  history: RewardHistory = emptyHistory;
  /** Groups that a refill brought beyond the need of the step before. */
  carried: readonly TrainedGroup[] = [];
  /** The groups that the next step begins with, where they are being drawn. */
  ahead: DrawnAhead | undefined;
  /** Of the pictures and rewards of all steps: it compares the last with the first. */
  readonly watch = new HackWatch();
  readonly source: PromptSource;
  private readonly update: GrpoUpdate;
  private readonly kl: KlController | undefined;

  constructor(source: PromptSource, update: GrpoUpdate, kl: KlController | undefined) {
    this.source = source;
    this.update = update;
    this.kl = kl;
  }

  restore({ position, tooLong, controllers, kl, history, carried, watch }: GrpoState): void {
    Object.assign(this.source, { position, tooLong });
    this.update.restore(controllers);
    if (kl !== null) this.kl?.restore(kl);
    this.history = history;
    this.carried = carried.map(groupFromJson);
    if (watch !== undefined) this.watch.restore(watch);
  }

  /** What changes from now on is noted; groups do not change, and become JSON only when they are saved. */
  note(): () => GrpoState {
    const { source, carried } = this;
    const { position, tooLong } = this.ahead?.before ?? source;
    const noted = {
      position,
      tooLong,
      history: { ...this.history },
      controllers: plain(this.update.state),
      kl: this.kl?.state() ?? null,
      watch: this.watch.state,
    };
    return () => ({ ...noted, carried: carried.map(groupToJson) });
  }
}

/** Records as plain JSON. */
function plain(state: GrpoUpdate['state']): GrpoState['controllers'] {
  return Object.fromEntries(Object.entries(state).map(([kind, numbers]) => [kind, { ...numbers }]));
}
