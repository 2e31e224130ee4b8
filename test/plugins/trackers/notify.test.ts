import { expect, test } from 'vitest';
import { session, withDirectory, withServer } from './stand-in.ts';

test('one message for each warning and for the end; what answers with anything but JSON will do', () =>
  withDirectory((directory) =>
    withServer(
      () => ({ body: 'ok' }),
      async ({ url, heard }) => {
        const { hooks, said } = await session('notify', { url, field: 'content' });
        await hooks.start({ preset: 'night', directory, resume: false });
        await hooks.step({ step: 7, metrics: { reward: 0 }, warnings: ['flat pictures'] });
        await hooks.finish({ outcome: 'failed', directory, error: new Error('no room'), warnings: ['late'] });
        expect(heard.map(({ body }) => body)).toEqual([
          { content: 'run night, step 7: flat pictures' },
          { content: 'run night, step 7: late' },
          { content: `run night is failed (${directory}): no room` },
        ]);
        expect(said).toEqual([]);
      },
    ),
  ));

test('only the end, where that is wanted', () =>
  withDirectory((directory) =>
    withServer(
      () => ({}),
      async ({ url, heard }) => {
        const { hooks } = await session('notify', { url, warnings: false });
        await hooks.start({ preset: 'night', directory, resume: false });
        await hooks.step({ step: 1, metrics: {}, warnings: ['flat'] });
        await hooks.finish({ outcome: 'stopped', directory });
        expect(heard.map(({ body }) => body)).toEqual([{ text: `run night is stopped (${directory})` }]);
      },
    ),
  ));

test('a webhook that fails is a warning; each message comes once when it works again', () =>
  withDirectory((directory) =>
    withServer(
      () => ({ status: 410, body: 'gone' }),
      async (server) => {
        const { hooks, said } = await session('notify', { url: server.url });
        await hooks.start({ preset: 'night', directory, resume: false });
        await hooks.step({ step: 1, metrics: {}, warnings: ['one', 'two'] });
        await hooks.finish({ outcome: 'done', directory });
        expect(said[0]).toMatch(/^notify cannot be told of this run: .*answered 410: gone/);
        server.heard.length = 0;
        server.say = () => ({ status: server.heard.length === 2 ? 500 : 200 });
        await expect(hooks.sync({ directory })).rejects.toThrow(/500/);
        await hooks.sync({ directory });
        expect(server.heard.map(({ body }) => body['text'])).toEqual([
          'run night, step 1: one',
          'run night, step 1: two',
          'run night, step 1: two',
          `run night is done (${directory})`,
        ]);
      },
    ),
  ));

test('an address is given or named, and one that is missing is said', async () => {
  await expect(session('notify', {})).rejects.toThrow(/give `url` or `variable`/);
  const { hooks, said } = await session('notify', { variable: 'REASONGEN_NO_SUCH_WEBHOOK' });
  await hooks.start({ preset: 'night', directory: '/nowhere', resume: false });
  expect(said).toEqual(['nobody will be notified: REASONGEN_NO_SUCH_WEBHOOK holds no address']);
});
