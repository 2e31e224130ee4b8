/** The live page in a browser, as people use it. Pictures of every view are left in `out/watch/`, for a person to look at. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWatching, type WatchServer } from '../../core/watch/server.ts';
import { appendStep, writeDrawings, writeWatchedRun } from '../support/watched-run.ts';
import { writeHostileRun } from '../support/hostile-run.ts';
import { hear, overflow, pictures, seriousFindings } from './browser.ts';
import { describeInBrowser } from './in-browser.ts';

const token = 'a-token-of-the-tests';

describeInBrowser('the live page', (browser) => {
  let folder: string;
  let server: WatchServer;
  /** What pages have said on their consoles, and scripts that threw. */
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'reasongen-page-'));
    mkdirSync(pictures, { recursive: true });
    writeWatchedRun(join(folder, 'first'), { outcome: 'done', steps: 40 });
    writeWatchedRun(join(folder, 'second'), { outcome: 'failed', prompt: 'a photo of a cat' });
    writeHostileRun(join(folder, 'hostile'));
    // Names that are wider than their column.
    writeWatchedRun(join(folder, 'rates', 'learningRate=1e-3,weightDecay=0.01,maxNorm=1,seed=0'), {
      outcome: 'done',
    });
    server = await startWatching({ folder, port: 0, token, control: true });
  });
  afterAll(async () => {
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(hash: string, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const page = await browser().newPage({ viewport: { width: 1280, height: 860 }, ...options });
    page.setDefaultTimeout(30_000);
    hear(page, hash, complaints);
    await page.goto(`${server.address}${hash}`);
    return page;
  }

  async function keep(page: Page, name: string): Promise<void> {
    await page.screenshot({ path: `${pictures}/${name}.png` });
  }

  const views = [
    [
      'runs',
      '#/',
      ['Runs', 'first', 'finished', '40 / 20', '50 %', 'the entropy falls', 'a device', 'second', 'failed'],
    ],
    [
      'curves',
      '#/run/first',
      [
        'first',
        'Reward',
        'Entropy',
        'target 0.25',
        'Time of a step',
        '1 warning',
        'Newest drawings, step 40',
        'peak 512 KiB, planned 1.0 MiB',
      ],
    ],
    [
      'samples',
      '#/run/first/samples',
      [
        'a photo of a cat',
        '4 of 4 drawings',
        'found 1 cats',
        '✓ 1',
        '✗ 0',
        'A −0.5',
        'A held-out prompt through the run',
        '−1.2',
      ],
    ],
    [
      'evaluations',
      '#/run/first/evaluations',
      [
        'tiny, held-out',
        'Held-out pass rate',
        'paired difference',
        'Single object',
        '1 went from fail to pass, 0 from pass to fail',
        'found nothing',
        'found 1 cat',
      ],
    ],
    [
      'settings',
      '#/run/first/settings',
      ['Checkpoints', 'seed: 0', 'tiny.yaml:1:7', 'set when the run was resumed', 'npx reasongen run tiny.yaml'],
    ],
    ['playground', '#/run/first/playground', ['Draw with the newest weights']],
    ['compare', '#/compare?a=first&b=second', ['Comparison', 'Held-out pass rate', '0 went from fail to pass']],
  ] as const;

  test.each(views)(
    'the view %s says what it must, light and dark, on a desk and on a phone, without serious findings of axe',
    async (name, hash, texts) => {
      const page = await open(hash);
      for (const text of texts) await page.getByText(text, { exact: false }).first().waitFor({ state: 'attached' });
      const excess = (): Promise<unknown> => page.evaluate(overflow);
      await keep(page, `${name}-light`);
      expect(await seriousFindings(page), `${name}, light`).toEqual([]);
      await page.emulateMedia({ colorScheme: 'dark' });
      await keep(page, `${name}-dark`);
      expect(await seriousFindings(page, ['color-contrast']), `${name}, dark`).toEqual([]);
      expect(await excess(), `${name} is wider than its window`).toBeLessThanOrEqual(0);
      await page.emulateMedia({ colorScheme: 'light' });
      await page.setViewportSize({ width: 390, height: 844 });
      await keep(page, `${name}-phone`);
      expect(await excess(), `${name} is wider than a phone`).toBeLessThanOrEqual(0);
      await page.setViewportSize({ width: 320, height: 700 });
      expect(await excess(), `${name} is wider than a small phone`).toBeLessThanOrEqual(0);
      await page.close();
      expect(complaints).toEqual([]);
    },
  );

  test('a new step is there within two seconds, a run that is resumed goes on, and a lost server is found again', async () => {
    const directory = join(folder, 'going');
    writeWatchedRun(directory);
    writeFileSync(join(directory, 'lock'), JSON.stringify({ id: 'x', pid: 1, host: 'another machine' }));
    const page = await open('#/run/going');
    await page.getByText('3 / 20').waitFor();
    // A busy machine may be late now and then: it is in time if one of three is.
    const late: number[] = [];
    for (const step of [4, 5, 6]) {
      const before = performance.now();
      appendStep(directory, step, { reward: step / 10 + 0.0321 });
      await page.getByText(`${step} / 20`).waitFor();
      await page.getByText(`0.${step}32`).first().waitFor();
      late.push(performance.now() - before);
    }
    expect(Math.min(...late)).toBeLessThan(2000);
    writeDrawings(directory, 4, 'a photo of a dog');
    await page.getByText('Newest drawings, step 4').waitFor();
    // Steps that are taken once more.
    truncateSync(
      join(directory, 'metrics.ndjson'),
      readFileSync(join(directory, 'metrics.ndjson'), 'utf8').indexOf('\n') + 1,
    );
    for (const step of [2, 3, 4, 5]) appendStep(directory, step, { reward: 0.777 });
    await page.getByText('5 / 20').waitFor();
    await page.getByText('0.777').first().waitFor();
    const { port } = server;
    await server.close();
    await page.getByText('reconnecting…').waitFor();
    server = await startWatching({ folder, port, token, control: true });
    appendStep(directory, 6);
    await page.getByText('6 / 20').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    await page.close();
    complaints.length = 0;
  });

  test('runs are filtered, hidden, chosen for a comparison, all by keyboard', async () => {
    const page = await open('#/');
    await page.getByLabel('Filter').fill('seco');
    await expect.poll(() => page.locator('tbody tr').count()).toBe(1);
    await page.getByLabel('Hide second').focus();
    await page.keyboard.press('Enter');
    await page.getByText('No run fits the filter.').waitFor();
    await page.getByLabel('Filter').fill('');
    await page.getByText('Hidden (1)').click();
    for (const name of ['first', 'second']) {
      await page.getByLabel(`Compare ${name}`, { exact: true }).focus();
      await page.keyboard.press('Space');
    }
    await page.getByText('Compare the two').focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Comparison' }).waitFor();
    expect(page.url()).toContain('#/compare?a=first&b=second');
    await page.close();
  });

  test('drawings are filtered, and 10 000 of them are scrolled through with few in the page', async () => {
    const directory = join(folder, 'many');
    writeWatchedRun(directory, { outcome: 'done', steps: 1 });
    for (let step = 1; step <= 10; step++) {
      const name = join(directory, 'samples', `step-${String(step).padStart(6, '0')}`);
      mkdirSync(name, { recursive: true });
      const lines = Array.from({ length: 1000 }, (_, at) =>
        JSON.stringify({
          prompt: `prompt ${step}.${Math.floor(at / 8)}`,
          task: at % 16 < 8 ? 'one' : 'two',
          rationale: 'r',
          image: '0.png',
          total: at % 2,
          scores: {},
        }),
      );
      writeFileSync(join(name, 'samples.jsonl'), `${lines.join('\n')}\n`);
    }
    const page = await open('#/run/many/samples?step=all');
    await page.getByText('10000 of 10000 drawings of 10 steps').waitFor();
    for (let at = 0; at < 20; at++) {
      await page.mouse.wheel(0, 20_000);
      await page.waitForTimeout(30);
    }
    const atEnd =
      'scrollTo(0, document.documentElement.scrollHeight), document.body.textContent.includes("prompt 1.124")';
    await expect.poll(() => page.evaluate(atEnd), { timeout: 15_000 }).toBe(true);
    expect(await page.locator('.sample').count()).toBeLessThan(200);
    await page.getByLabel('Task').selectOption('two');
    await page.getByText('4960 of 10000').waitFor();
    await page.getByRole('button', { name: '✓ Pass' }).click();
    await page.getByText('2480 of 10000').waitFor();
    await page.getByPlaceholder('words of the prompt').fill('prompt 3.');
    await page.getByText('248 of 10000').waitFor();
    await page.close();
  });

  test('the playground shows every drawing that was asked for, after any number of them', async () => {
    const directory = join(folder, 'played');
    writeWatchedRun(directory);
    for (let request = 1; request <= 9; request++)
      writeDrawings(directory, 3, `request ${request}`, 8, `playground/step-000003-${request}`);
    const page = await open('#/run/played/playground');
    await page.getByText('request 9 · step 3').first().waitFor();
    writeDrawings(directory, 3, 'request 10', 1, 'playground/step-000003-10');
    await page.getByText('Drawn.').waitFor();
    expect(await page.locator('#tab .members > div').first().textContent()).toContain('request 10');
    await page.close();
  });

  test('what was asked for first and is answered last does not draw over what is newer', async () => {
    const page = await open('#/');
    // The first comparison comes when the second has been shown.
    await page.route('**/api/compare?a=first*', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await route.continue();
    });
    await page.evaluate('location.hash = "#/compare?a=first&b=second"');
    await page.evaluate('location.hash = "#/compare?a=second&b=first"');
    await page.getByText('0 went from fail to pass').waitFor();
    await page.evaluate('location.hash = "#/"');
    await page.getByRole('heading', { name: 'Runs' }).waitFor();
    await page.waitForTimeout(2000);
    expect(await page.locator('.comparison').count()).toBe(0);
    await page.close();
  });

  test('a run of somebody who means harm runs no script and breaks no view', async () => {
    const page = await open('#/');
    for (const hash of [
      '#/',
      '#/run/hostile',
      '#/run/hostile/samples',
      '#/run/hostile/evaluations',
      '#/run/hostile/settings',
      '#/run/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E',
      '#/compare?a=%3Cscript%3Ealert(1)%3C/script%3E&b=hostile',
    ]) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await page.locator('h1, .problem').first().waitFor();
      await page.waitForTimeout(400);
      expect(await page.evaluate('globalThis.harmed')).toBeUndefined();
      expect(await page.locator('#view script, #view iframe, #view object, #view [onerror]').count()).toBe(0);
      expect(await page.evaluate(overflow), hash).toBeLessThanOrEqual(0);
      expect(await seriousFindings(page), hash).toEqual([]);
    }
    await page.close();
    const picture = await browser().newPage();
    const answer = await picture.goto(`http://127.0.0.1:${server.port}/picture/sample?run=hostile&step=3&index=1`);
    expect(answer?.headers()['content-type']).toContain('application/json');
    await picture.close();
    expect(complaints.filter((each) => !/ERR_|Failed to load resource/.test(each))).toEqual([]);
  });
});
