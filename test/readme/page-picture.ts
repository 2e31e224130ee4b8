/**
 * The picture of the live page in the README: `npm run docs:page [RUN]`, of runs/quickstart unless told. Takes a browser
 * (`node test/watch/chromium.mjs` installs Debian's); prints what it wrote.
 */
import { writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { startWatching } from '../../core/watch/server.ts';
import { executablePath, launchBrowser } from '../watch/browser.ts';
import { chromiumHint } from '../watch/chromium.mjs';

const width = 1280;
/** A prompt whose drawings got different rewards. */
const group = '.group:has([data-pass="true"]):has([data-pass="false"])';
/** Views, what is awaited in them, where the shown part begins, and its height where it is not that of the element. */
const views: readonly { tab: string; isReady: string; from: string; height?: number }[] = [
  { tab: 'curves', isReady: '.plot canvas', from: 'body', height: 632 },
  { tab: 'samples', isReady: '.sample img', from: group },
];

/** A PNG of the page's views one below the other. */
export async function drawPage(directory: string, browser: Browser): Promise<Buffer> {
  const server = await startWatching({ folder: dirname(resolve(directory)), port: 0 });
  try {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const pictures: string[] = [];
    for (const { tab, isReady, from, height } of views) {
      await page.goto(`${server.address}#/run/${encodeURIComponent(basename(resolve(directory)))}/${tab}`);
      await page.locator(isReady).first().waitFor();
      await settle(page);
      const box = await page.locator(from).first().boundingBox();
      const clip = { x: 0, y: Math.max(0, (box?.y ?? 0) - 12), width, height: height ?? (box?.height ?? 0) + 24 };
      const picture = await page.screenshot({ clip, fullPage: true });
      pictures.push(`<img src="data:image/png;base64,${picture.toString('base64')}">`);
      await page.goto('about:blank');
    }
    await page.setContent(
      `<style>body { margin: 0 } img { display: block; border-bottom: 1px solid #dfe2e6 }</style>${pictures.join('')}`,
    );
    await settle(page);
    return await page.screenshot({ fullPage: true });
  } finally {
    await server.close();
  }
}

/** Until everything in sight has been loaded and drawn. */
async function settle(page: Page): Promise<void> {
  await page.waitForLoadState('load');
  await page.waitForTimeout(700);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (executablePath === undefined) throw new Error(chromiumHint);
  const browser = await launchBrowser();
  const png = await drawPage(process.argv[2] ?? 'runs/quickstart', browser);
  await browser.close();
  writeFileSync('presets/page.png', png);
  process.stdout.write(`presets/page.png: ${Math.round(png.length / 1000)} kB\n`);
}
