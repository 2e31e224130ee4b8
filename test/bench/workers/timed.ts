/** An executor in the process of the run that says how long it drew: what a job of a worker takes without a queue. */
import { definePlugin, defineExecutor, z, type Executor } from '../../../core/plugin.ts';

export default definePlugin({
  name: 'timed',
  provides: [
    defineExecutor({
      name: 'timed',
      summary: 'of benchmarks',
      options: z.strictObject({}),
      create: (_choice, scope): Executor => ({
        open: ({ local }) => ({
          close: () => local.close(),
          draw: async (...asked) => {
            const began = performance.now();
            const drawn = await local.draw(...asked);
            scope.log.info(`drawn in ${((performance.now() - began) / 1000).toFixed(4)} s`);
            return drawn;
          },
        }),
      }),
    }),
  ],
});
