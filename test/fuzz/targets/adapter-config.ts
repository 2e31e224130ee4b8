/** Configurations of low-rank adapters, with the patterns in them. */
import { parseAdapterConfig } from '../../../core/io/weight-files/adapter-config.ts';
import type { FuzzTarget } from '../harness.ts';

const text = (config: object): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({ peft_type: 'LORA', r: 4, lora_alpha: 8, base_model_name_or_path: 'owner/model', ...config }),
  );

const target: FuzzTarget = {
  ending: '.json',
  seeds: () => [
    text({}),
    text({
      rank_pattern: { q_proj: 2 },
      alpha_pattern: { '^model.*': 3 },
      use_rslora: true,
      modules_to_save: ['head'],
    }),
    text({ target_modules: '^(model)(?!.*(lm_head)).*proj$', exclude_modules: '.*vision.*' }),
    text({ target_modules: ['q_proj', 'v_proj'], layers_to_transform: [0, 1], layers_pattern: ['layers', '(a+)+'] }),
  ],
  read: (bytes) => {
    const config = parseAdapterConfig(new TextDecoder().decode(bytes), 'adapter_config.json');
    for (const module of ['model.layers.0.self_attn.q_proj', `model.${'a'.repeat(60)}.7.x`, '']) {
      config.scaling(module);
      config.isTarget(module);
    }
    return Promise.resolve();
  },
};
export default target;
