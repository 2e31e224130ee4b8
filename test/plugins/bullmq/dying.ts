/** Executors whose workers are ended by SIGKILL in the middle of a job: of the first one, or of the eighth. */
import { definePlugin, defineExecutor, type DrawService, type Executor } from '../../../core/plugin.ts';
import bullmq from '../../../plugins/bullmq/index.ts';
import { bullmqOptions } from '../../../plugins/bullmq/options.ts';

function dying(name: string, whole: number) {
  return defineExecutor({
    name,
    summary: 'of tests',
    options: bullmqOptions,
    create: async (choice, scope): Promise<Executor> => {
      const [component] = bullmq.provides;
      const executor = (await component?.create(choice, scope)) as Executor;
      let done = 0;
      const alter = (draw: DrawService['draw']): DrawService['draw'] => {
        return async (...asked) => {
          const drawing = draw(...asked);
          if (done++ < whole) return drawing;
          process.kill(process.pid, 'SIGKILL');
          return new Promise(() => {
            // Ends here.
          });
        };
      };
      return {
        ...executor,
        serve: async ({ draw: service, answers }, check, signal) => {
          if (service === undefined) throw new RangeError('it is to draw');
          const draw = { ...service, draw: alter((...asked) => service.draw(...asked)) };
          await executor.serve?.({ answers, draw }, check, signal);
        },
      };
    },
  });
}

export default definePlugin({ name: 'dying', provides: [dying('dying', 0), dying('fragile', 7)] });
