/**
 * Files of rewards that are edited while a run goes on. Between two steps an edited file is copied into the run's directory, loaded from there, and
 * judges from the next step on; run.json notes the step, the hash and the copy. A run that is resumed picks the same copies up at the same
 * steps, and looks at the files again behind the last of them, so that it ends as one that was never stopped.
 *
 * Only rewards are made again, with the options they have: whatever else the plugin provides stays as it was when the run began.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { RunContainer } from './container.ts';
import type { Preset } from './contracts/preset.ts';
import type { NamedReward } from './contracts/recipe.ts';
import type { Reward } from './contracts/reward.ts';
import type { Component } from './contracts/slots.ts';
import { formatError, PresetError } from './errors.ts';
import { explainError } from './failure.ts';
import { disk, diskError, replaceFile } from './io/disk.ts';
import type { PluginEdit } from './io/records.ts';
import type { RunDirectory } from './io/run-directory.ts';
import type { Log } from './log.ts';
import {
  copiesFolder,
  filesOfPlugin,
  hashOfPlugin,
  originOfCopy,
  originsFile,
  type PluginOrigin,
  readOrigins,
} from './preset/plugin-files.ts';
import { loadNamedPlugin } from './preset/plugins.ts';
import { z } from './preset/zod.ts';
import { copyPlugin } from './run-inputs.ts';

interface Parts {
  readonly container: RunContainer;
  readonly preset: Preset;
  readonly directory: RunDirectory;
  readonly log: Log;
  /** Whether files are looked at while the run goes on; edits of an earlier session count in any case. */
  readonly picksUp: boolean;
}

/** A reward that may be made again. */
interface LiveReward {
  readonly name: string;
  readonly use: string;
  /** Its place among the rewards of the preset. */
  readonly index: number;
  current: Reward;
  dispose: () => Promise<void>;
}

/** A plugin that was named by path and provides rewards of the run. */
interface WatchedFile {
  /** What the author edits. */
  readonly file: string;
  /** sha256 of what the run began with. */
  readonly from: string;
  readonly rewards: readonly LiveReward[];
  /** Of what judges now. */
  sha256: string;
  /** Of an edit that could not be used: it is said once. */
  refused?: string;
}

export class RewardFiles {
  /** As the preset names them; what judges behind each may change between steps. */
  readonly rewards: readonly NamedReward[];
  readonly beginStep = (step: number): Promise<Readonly<Record<string, string>>> => this.#beginStep(step);
  readonly #parts: Parts;
  readonly #watched: readonly WatchedFile[];
  #lastCopy = 0;

  private constructor(parts: Parts, rewards: readonly NamedReward[], watched: readonly WatchedFile[]) {
    this.#parts = parts;
    this.#watched = watched;
    const live = new Map(watched.flatMap((file) => file.rewards).map((reward) => [reward.index, reward]));
    this.rewards = rewards.map((named, index) => {
      const own = live.get(index);
      return own === undefined ? named : { ...named, reward: standingFor(own) };
    });
  }

  static async open(parts: Parts, rewards: readonly NamedReward[]): Promise<RewardFiles> {
    const { preset } = parts;
    const watched: WatchedFile[] = [];
    for (const path of preset.plugins) {
      if (!path.startsWith('/') || filesOfPlugin(path).isPartOfProgram) continue;
      // Loaded already: this only tells its name.
      const plugin = (await load(path)).plugin.name;
      const own = (preset.components['reward'] ?? []).flatMap((choice, index): LiveReward[] => {
        const reward = rewards[index]?.reward;
        // Workers have files of their own.
        if (choice.plugin !== plugin || reward === undefined || choice.byWorkers === true) return [];
        return [{ name: choice.name, use: choice.use, index, current: reward, dispose: async () => {} }];
      });
      const from = hashOfPlugin(path);
      if (own.length > 0) watched.push({ file: originOfCopy(path) ?? path, from, sha256: from, rewards: own });
    }
    return new RewardFiles(parts, rewards, watched);
  }

  async #beginStep(step: number): Promise<Readonly<Record<string, string>>> {
    const { directory, log } = this.#parts;
    for (const watched of this.#watched) {
      const edits = (directory.record.edits ?? []).filter(
        ({ file, from }) => file === watched.file && from === watched.from,
      );
      const due = edits.findLast((edit) => edit.step <= step);
      if (due !== undefined && due.sha256 !== watched.sha256) {
        await this.#use(watched, join(directory.path, due.copy), due.sha256);
        log.info(
          `step ${step}: ${namesOf(watched)} by ${watched.file} as it was edited before step ${due.step} (sha256 ${due.sha256.slice(0, 12)})`,
        );
      }
      // What a later step was judged by is not looked at before that step.
      if (this.#parts.picksUp && edits.every((edit) => edit.step <= step)) await this.#pickUp(watched, step);
    }
    const files = this.#watched.flatMap(({ rewards, sha256 }) =>
      rewards.map(({ name }) => [`rewardFile/${name}`, sha256.slice(0, 12)]),
    );
    return Object.fromEntries(files) as Record<string, string>;
  }

  /** Takes an edit up, or says once why it cannot be. */
  async #pickUp(watched: WatchedFile, step: number): Promise<void> {
    const { directory, log } = this.#parts;
    const seen = readHash(watched.file);
    if (seen === undefined || seen === watched.sha256 || seen === watched.refused) return;
    const folder = await this.#copy(watched.file);
    const { folder: original, file } = filesOfPlugin(watched.file);
    const copy = join(folder, relative(original, file));
    // Of the copy: the file may have been edited again in between.
    const sha256 = hashOfPlugin(copy);
    try {
      await this.#use(watched, copy, sha256);
    } catch (error) {
      await disk.rm(folder, { recursive: true, force: true });
      watched.refused = seen;
      const why = formatError(explainError(error))
        .replaceAll(/\n\s*/g, ' ')
        .replaceAll(copy, () => watched.file);
      const message = `step ${step}: ${watched.file} was edited and cannot be used; what was there before goes on judging: ${why}`;
      log.warn(message);
      await directory.warn(message);
      return;
    }
    const edit: PluginEdit = {
      step,
      file: watched.file,
      from: watched.from,
      sha256,
      copy: relative(directory.path, copy),
    };
    await directory.describe({ edits: [...(directory.record.edits ?? []), edit] });
    const message = `step ${step}: ${namesOf(watched)} by the edited ${watched.file} from now on (sha256 ${sha256.slice(0, 12)})`;
    log.info(message);
    await directory.warn(message);
  }

  /** Makes all rewards of a file again, from a copy of it: all of them or none. */
  async #use(watched: WatchedFile, copy: string, sha256: string): Promise<void> {
    const { container, preset } = this.#parts;
    const { plugin } = await load(copy);
    const made: { readonly reward: Reward; readonly dispose: () => Promise<void> }[] = [];
    try {
      for (const { use, index } of watched.rewards) {
        const component = plugin.provides.find((each) => each.slot === 'reward' && each.name === use) as
          | Component<'reward'>
          | undefined;
        if (component === undefined) throw bad(copy, `it has no reward "${use}" any more`);
        const given = component.options.safeParse(preset.components['reward']?.[index]?.options);
        if (!given.success)
          throw bad(copy, `reward "${use}" no longer takes the options of this run: ${z.prettifyError(given.error)}`);
        const remade = await container.remake(
          { ...component, create: (_, scope) => component.create(given.data, scope) },
          index,
        );
        made.push({ reward: remade.made, dispose: remade.dispose });
      }
    } catch (error) {
      for (const { dispose } of made) await dispose();
      throw error;
    }
    for (const [index, live] of watched.rewards.entries()) {
      await live.dispose();
      const next = made[index];
      if (next !== undefined) Object.assign(live, { current: next.reward, dispose: next.dispose });
    }
    watched.sha256 = sha256;
  }

  /** Into the next free folder beside the copies that the run has already. */
  async #copy(file: string): Promise<string> {
    const { path } = this.#parts.directory;
    const folder = join(path, copiesFolder);
    try {
      await disk.mkdir(folder, { recursive: true });
      const numbers = (await readdir(folder)).map(Number).filter(Number.isInteger);
      // Never one twice: a module that was loaded from there, or failed to, is not loaded again.
      const number = Math.max(this.#lastCopy, ...numbers) + 1;
      this.#lastCopy = number;
      const origin = await copyPlugin(file, join(folder, String(number)));
      const origins: Record<string, PluginOrigin> = { ...readOrigins(path), [number]: origin };
      // With it the copy finds the packages that its original finds.
      await replaceFile(join(folder, originsFile), `${JSON.stringify(origins, null, 2)}\n`);
      return join(folder, String(number));
    } catch (cause) {
      throw diskError(cause, 'copying an edited plugin into the run', folder);
    }
  }
}

function namesOf({ rewards }: WatchedFile): string {
  return rewards.length === 1
    ? `reward "${rewards[0]?.name}" judges`
    : `rewards ${rewards.map(({ name }) => `"${name}"`).join(', ')} judge`;
}

/** The reward that judges now, under one name. */
function standingFor(live: LiveReward): Reward {
  return {
    score: (samples, signal) => live.current.score(samples, signal),
    reserve: () => live.current.reserve?.() ?? Promise.resolve(),
    ...(live.current.rest !== undefined && { rest: () => live.current.rest?.() ?? Promise.resolve() }),
    get sees() {
      return live.current.sees ?? 'batch';
    },
    get judgesBenchmarks() {
      return live.current.judgesBenchmarks === true;
    },
  };
}

async function load(path: string): Promise<NonNullable<Awaited<ReturnType<typeof loadNamedPlugin>>>> {
  const problems: PresetError[] = [];
  const origin = { kind: 'file', source: path, line: 1, column: 1 } as const;
  const loaded = await loadNamedPlugin({ specifier: path, origin }, problems);
  if (loaded === undefined) throw problems[0] ?? bad(path, 'it cannot be loaded');
  return loaded;
}

function bad(place: string, message: string): PresetError {
  return new PresetError({
    code: 'BAD_EDIT',
    message,
    place,
    hint: 'mend the file: it is looked at before every step',
  });
}

/** Undefined where there is nothing to read: the run may lie on another machine, or an editor be at work. */
function readHash(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return hashOfPlugin(file);
  } catch {
    return undefined;
  }
}
