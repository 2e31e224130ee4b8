/** A server of a small model in this process, as the command starts it. */
import { publishedPreset } from '../../core/commands/model.ts';
import { exitCodes } from '../../core/errors.ts';
import { silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { runPreset } from '../../core/runtime.ts';
import { createStop } from '../../core/stop.ts';

export interface Served {
  /** Up to the version. */
  readonly url: string;
  /** What it warned of. */
  readonly warnings: readonly string[];
  /** As SIGTERM does; resolves when it has ended. */
  stop(): Promise<number>;
}

/** The components of a published folder, as settings. */
export function publishedSettings(folder: string): string[] {
  return [
    `tokenizer=${JSON.stringify({ use: 'huggingface', file: folder })}`,
    `imageTokenizer=${JSON.stringify({ use: 'vq', checkpoint: folder })}`,
    `backbone=${JSON.stringify({ use: 'janus-checkpoint', checkpoint: folder })}`,
  ];
}

/** Serves the published model of a folder, with further options of the recipe. Throws what keeps it from listening. */
export function serveFolder(
  folder: string,
  runDirectory: string,
  recipe: Readonly<Record<string, unknown>> = {},
): Promise<Served> {
  return servePreset(publishedPreset, runDirectory, publishedSettings(folder), { weights: folder, ...recipe });
}

/** Serves the components of a preset, whatever its recipe is. */
export async function servePreset(
  file: string,
  runDirectory: string,
  more: readonly string[],
  recipe: Readonly<Record<string, unknown>>,
): Promise<Served> {
  const choice = { use: 'serve', port: 0, modelName: 'tiny', ...recipe };
  const loaded = await loadPreset(file, { settings: [...more, `recipe=${JSON.stringify(choice)}`], runDirectory });
  const stop = createStop();
  const warnings: string[] = [];
  let listens: ((url: string) => void) | undefined;
  const address = new Promise<string>((resolve) => {
    listens = resolve;
  });
  const ended = runPreset(loaded, {
    runDirectory,
    resume: false,
    command: ['test'],
    log: { ...silentLog(), warn: (line) => void warnings.push(line) },
    write: (text) => listens?.(text.trim()),
    stop,
    signal: new AbortController().signal,
  });
  const url = await Promise.race([
    address,
    ended.then((code) => {
      throw new Error(`it ended with ${code} before it listened`);
    }),
  ]);
  return {
    url,
    warnings,
    stop: () => {
      stop.request('the test says so', exitCodes.terminated);
      return ended;
    },
  };
}

/** A gauge or counter of `/metrics`, all labels together. */
export async function metricOf(url: string, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(new URL('/metrics', url))).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}${labels}`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
