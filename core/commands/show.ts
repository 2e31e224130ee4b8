import { dirname } from 'node:path';
import { loadPreset } from '../preset/load.ts';
import { showPreset } from '../preset/show.ts';
import type { CommandContext } from './context.ts';

/** `show PRESET`: the resolved preset as YAML, each value with the place it came from; the stages of a chain one after the other. */
export async function show(file: string, { write, settings, environment }: CommandContext): Promise<number> {
  const loaded = await loadPreset(file, { settings, environment });
  const texts = loaded.stages.map((stage) => {
    const text = showPreset(stage, loaded.catalog, { directory: dirname(stage.preset.file), origins: true });
    return loaded.isChain ? `# stage ${stage.name}\n${text}` : text;
  });
  write(texts.join('---\n'));
  return 0;
}
