/** A run that is killed where it stands and resumed, while its page stays open in a browser. */
import { expect, test } from 'vitest';
import { startWatching } from '../../core/watch/server.ts';
import { metricsOf, Workplace } from '../support/runs.ts';
import { describeInBrowser } from './in-browser.ts';
import { freePort, startProgram } from './started.ts';

describeInBrowser('a run that is killed and resumed', (browser) => {
  const place = new Workplace();
  const steps = 20;
  // A step takes longer than the page's server waits between two looks, however fast the machine is.
  const preset = (): string =>
    place.preset(
      'going',
      `optimizer: { use: adamw, learningRate: 2e-3 }
rewards: [{ use: is-color, delay: 600 }]
recipe: { use: grpo, steps: ${steps}, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 1, samplesEvery: 1 }
`,
    );

  test('the page of a folder says that it was interrupted, and goes on with it', async () => {
    const directory = place.free();
    const server = await startWatching({ folder: directory, port: 0 });
    const page = await browser().newPage();
    page.setDefaultTimeout(60_000);
    const first = startProgram(['run', preset(), '--run-dir', directory]);
    await page.goto(`${server.address}#/run/.`);
    await page.getByText(new RegExp(`^[3-9] / ${steps}$`)).waitFor();
    first.kill();
    expect((await first.ended).code).toBeNull();
    await page.locator('.pill[data-state="interrupted"]').waitFor();
    const second = startProgram(['resume', directory]);
    await page.locator('.pill[data-state="running"]').waitFor();
    expect((await second.ended).code).toBe(0);
    await page.locator('.pill[data-state="done"]').waitFor();
    await page.getByText(`${steps} / ${steps}`).waitFor();
    await page.getByText(`Newest drawings, step ${steps}`).waitFor();
    const { reward } = metricsOf(directory).at(-1) ?? {};
    expect(await page.locator('figure', { hasText: 'Reward' }).first().locator('.legend').textContent()).toContain(
      `step ${steps}`,
    );
    expect(Number.isFinite(reward)).toBe(true);
    await page.close();
    await server.close();
  });

  test('the page beside a run dies with it, waits, and is there again when the run is resumed at the same port', async () => {
    const [directory, port] = [place.free(), await freePort()];
    const beside = ['--watch', '--port', String(port)];
    const page = await browser().newPage();
    page.setDefaultTimeout(60_000);
    const first = startProgram(['run', preset(), '--run-dir', directory, ...beside]);
    const [, address = ''] = await first.said(/page: (\S+)/);
    await page.goto(`${address}#/run/.`);
    await page.getByText(new RegExp(`^[3-9] / ${steps}$`)).waitFor();
    first.kill();
    await page.getByText('reconnecting…').waitFor();
    const second = startProgram(['resume', directory, ...beside]);
    await page.getByText('live', { exact: true }).waitFor();
    await page.locator('.pill[data-state="running"]').waitFor();
    await page.getByText(new RegExp(`^1\\d / ${steps}$`)).waitFor();
    expect((await second.ended).code).toBe(0);
    expect(metricsOf(directory)).toHaveLength(steps);
    await page.close();
  });
});
