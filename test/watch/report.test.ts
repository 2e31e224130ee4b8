/** Reports in a browser, opened as files: the parts of the live page, curves drawn by the one script, on every screen and on paper. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { comparisonPage } from '../../core/report/compare-page.ts';
import { writeReport } from '../../core/report/report.ts';
import { matchEvaluations, readSide } from '../../core/report/sides.ts';
import { writeHostileRun } from '../support/hostile-run.ts';
import { writeWatchedEvaluation, writeWatchedRun } from '../support/watched-run.ts';
import { hear, overflow, pictures, seriousFindings } from './browser.ts';
import { describeInBrowser } from './in-browser.ts';

describeInBrowser('reports', (browser) => {
  let folder: string;
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'reasongen-reports-'));
    mkdirSync(pictures, { recursive: true });
    writeWatchedRun(join(folder, 'run'), { outcome: 'done', steps: 60 });
    writeWatchedEvaluation(join(folder, 'run'), 'step-30', 30, true, 'a photo of a cat');
    writeWatchedRun(join(folder, 'other'), { outcome: 'done', steps: 3 });
    for (const stage of ['one', 'two']) writeWatchedRun(join(folder, 'chain', stage), { outcome: 'done' });
    writeHostileRun(join(folder, 'hostile'));
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(path: string, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const page = await browser().newPage({ viewport: { width: 1280, height: 860 }, ...options });
    hear(page, path, complaints);
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) complaints.push(`${path} asks for ${request.url()}`);
    });
    await page.goto(pathToFileURL(path).href);
    return page;
  }

  const drawn = 'document.querySelectorAll(".plot canvas").length';
  /** Canvases that hold more than one color. */
  const painted = `[...document.querySelectorAll('.plot canvas')].filter((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value > 0);
    }).length`;

  test('of a run: tables and drawings stand in it, curves are drawn; light, dark, on a phone and on paper', async () => {
    const page = await open(await writeReport(join(folder, 'run')));
    for (const text of [
      'Pass rate by step, held-out',
      'Before and after: held-out prompts',
      'target 0.25',
      '1 warning',
    ])
      await page.getByText(text).first().waitFor();
    await expect.poll(() => page.evaluate(drawn)).toBe(3);
    await expect.poll(() => page.evaluate(painted)).toBe(3);
    await page.screenshot({ path: `${pictures}/report-light.png`, fullPage: true });
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByText('All other measurements').click();
    await expect.poll(() => page.evaluate(painted)).toBe(4);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.screenshot({ path: `${pictures}/report-dark.png`, fullPage: true });
    expect(await seriousFindings(page, ['color-contrast'])).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.screenshot({ path: `${pictures}/report-phone.png`, fullPage: true });
    expect(await page.evaluate(overflow)).toBeLessThanOrEqual(0);
    await page.pdf({ path: `${pictures}/report.pdf`, format: 'A4' });
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    await page.evaluate('dispatchEvent(new Event("beforeprint"))');
    // Paper is white, whatever the screen is.
    expect(await page.evaluate('getComputedStyle(document.body).getPropertyValue("--text")')).toBe('#1b1e23');
    await page.close();
    expect(complaints).toEqual([]);
  });

  test('where no script runs, curves are told in words', async () => {
    const page = await open(await writeReport(join(folder, 'run')), { javaScriptEnabled: false });
    expect(await page.getByText('Reward: reward from 0.1 at step 1 to 6 at step 60').count()).toBe(1);
    await page.close();
  });

  test('of a chain, of a run that has only begun, and of two runs', async () => {
    const chain = await open(await writeReport(join(folder, 'chain')));
    await chain.getByRole('heading', { name: 'Stage: two' }).waitFor();
    await expect.poll(() => chain.evaluate(drawn)).toBe(6);
    await chain.close();
    const [a, b] = [await readSide(join(folder, 'run')), await readSide(join(folder, 'other'))];
    const path = join(folder, 'compared.html');
    writeFileSync(path, await comparisonPage(a, b, matchEvaluations(a, b)));
    const compared = await open(path);
    await compared.getByRole('heading', { name: 'What flipped: tiny, held-out' }).waitFor();
    await compared.screenshot({ path: `${pictures}/report-compared.png`, fullPage: true });
    expect(await seriousFindings(compared)).toEqual([]);
    expect(await compared.locator('script').count()).toBe(0);
    await compared.close();
    expect(complaints).toEqual([]);
  });

  test('of somebody who means harm: no script but its own runs, and nothing is asked for', async () => {
    const page = await open(await writeReport(join(folder, 'hostile')));
    await page.getByRole('heading', { level: 1 }).waitFor();
    expect(await page.evaluate('globalThis.harmed')).toBeUndefined();
    expect(await page.locator('main script, iframe, object, [onerror]').count()).toBe(0);
    expect(await page.evaluate(overflow)).toBeLessThanOrEqual(0);
    await page.close();
    expect(complaints).toEqual([]);
    // The policy holds what would be another script: whoever puts one into the file sees it refused.
    const changed = join(folder, 'changed.html');
    const whole = readFileSync(await writeReport(join(folder, 'run')), 'utf8');
    writeFileSync(changed, `${whole}<script>globalThis.harmed = true</script>`);
    const other = await open(changed);
    expect(await other.evaluate('globalThis.harmed')).toBeUndefined();
    expect(complaints.splice(0).join()).toContain('Content Security Policy');
    await other.close();
  });
});
