/** What must agree for a worker to answer in place of a run: it asks the component that the run would have asked. */
import { createHash } from 'node:crypto';
import { basename, isAbsolute } from 'node:path';
import type { AnswererIdentity } from '../contracts/executor.ts';
import type { ComponentChoice, Preset } from '../contracts/preset.ts';
import { describeProgram } from '../io/software.ts';
import { hashOfPlugin } from '../preset/plugin-files.ts';
import { fileOfPlugin } from '../preset/plugins.ts';

/** Plugins count by their content. Of paths the last part counts: machines keep their models where they like. */
export function answererIdentity(choice: ComponentChoice, preset: Preset): AnswererIdentity {
  const slot = choice.slot as AnswererIdentity['slot'];
  const { versions, commit } = describeProgram();
  const judges = preset.components['judge'] ?? [];
  const plugins = preset.plugins.map((plugin) => {
    const file = fileOfPlugin(plugin, preset.file);
    return file === undefined ? plugin : hashOfPlugin(file);
  });
  const content = JSON.stringify(
    [slot, partsOf(choice), judges.map(partsOf), plugins.toSorted()],
    (_key, value: unknown) => (typeof value === 'string' && isAbsolute(value) ? basename(value) : value),
  );
  return {
    kind: slot === 'benchmark' ? 'evaluate' : 'judge',
    slot,
    name: choice.name,
    program: `reasongen ${versions['reasongen']}${commit === undefined ? '' : ` (${commit})`}`,
    component: createHash('sha256').update(content).digest('hex').slice(0, 16),
  };
}

function partsOf({ name, use, options }: ComponentChoice): unknown {
  return [name, use, options];
}
