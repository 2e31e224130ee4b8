import { definePlugin, defineReward, z } from '../../../core/plugin.ts';

const loose = defineReward({ name: 'loose', summary: '', options: z.object({}), create: () => ({ score: () => [] }) });

export default definePlugin({ name: 'loose-options', provides: [loose] });
