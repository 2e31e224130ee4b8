import { definePlugin, defineReward, z } from '../../../core/plugin.ts';

const warmth = defineReward({
  name: 'warmth',
  summary: '',
  options: z.strictObject({}),
  create: () => ({ score: () => [] }),
});

export default definePlugin({ name: 'same-component', provides: [warmth] });
