/** Files of low-rank adapters over a base that is whole. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensors } from '../../../core/io/safetensors.ts';
import { elementsOf } from '../../../core/io/weight-files/element-types.ts';
import { openModelSource } from '../../../core/io/weight-files/model.ts';
import type { FuzzTarget } from '../harness.ts';

const names = [{ original: 'old.*', port: 'new.*' }];
const floats = (...shape: readonly number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
const file = (tensors: Readonly<Record<string, ReturnType<typeof floats>>>): Buffer =>
  Buffer.concat(encodeSafetensors(new Map(Object.entries(tensors))));

const folder = mkdtempSync(join(tmpdir(), 'reasongen-fuzz-'));
const base = join(folder, 'base.safetensors');
const adapters = join(folder, 'adapters');

const target: FuzzTarget = {
  ending: '.safetensors',
  seeds: () => {
    mkdirSync(adapters, { recursive: true });
    writeFileSync(base, file({ 'new.a.weight': floats(4, 3), 'new.a.bias': floats(4), 'new.e.weight': floats(5, 3) }));
    const config = { peft_type: 'LORA', r: 2, lora_alpha: 4, base_model_name_or_path: base };
    writeFileSync(join(adapters, 'adapter_config.json'), JSON.stringify(config));
    const a = 'base_model.model.old.a';
    const pair = { [`${a}.lora_A.weight`]: floats(2, 3), [`${a}.lora_B.weight`]: floats(4, 2) };
    return [
      file(pair),
      file({ ...pair, [`${a}.lora_B.bias`]: floats(4), 'base_model.model.new.e.weight': floats(5, 3) }),
      file({
        'base_model.model.new.e.lora_embedding_A': floats(2, 5),
        'base_model.model.new.e.lora_embedding_B': floats(3, 2),
      }),
    ];
  },
  read: async (bytes) => {
    writeFileSync(join(adapters, 'adapter_model.safetensors'), bytes);
    const { source } = await openModelSource(adapters, names);
    try {
      for (const [name, entry] of source.entries) await source.read(name, 0, elementsOf(entry));
    } finally {
      await source.close();
    }
  },
};
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
export default target;
