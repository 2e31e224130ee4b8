import { z } from '../../../core/plugin.ts';

const component = {
  slot: 'rewrad',
  name: 'x',
  summary: '',
  options: z.strictObject({}),
  needs: [],
  create: () => ({}),
};

export default { name: 'strange-slot', provides: [component] };
