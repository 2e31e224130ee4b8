/** The browser in which pages are tested, and what is asked of every page. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findChromium } from './chromium.mjs';

/** Undefined where there is no browser. */
export const executablePath = findChromium();
/** Where pictures of pages are left for a person to look at. */
export const pictures = 'out/watch';

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(executablePath !== undefined && { executablePath }),
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  });
}

/** Puts into `complaints` what the page says on its console, scripts that throw, and dialogs. */
export function hear(page: Page, name: string, complaints: string[]): void {
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (404|422)/.test(message.text()))
      complaints.push(`${name}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${name}: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`${name}: a dialog says ${dialog.message()}`);
    void dialog.dismiss();
  });
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Pixels by which the page is wider than its window. */
export const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';

/** What axe-core calls serious or critical, and headings out of order; by all rules unless some are named. */
export async function seriousFindings(page: Page, rules: readonly string[] = []): Promise<string[]> {
  // Its own world: the policy of the page lets nothing of another place run.
  await page.evaluate(axe);
  type Findings = { violations: { id: string; impact: string; nodes: { html: string }[] }[] };
  const call = `axe.run(${rules.length > 0 ? JSON.stringify({ runOnly: rules }) : ''})`;
  const { violations } = await page.evaluate<Findings>(call);
  return violations
    .filter(({ impact, id }) => ['serious', 'critical'].includes(impact) || id === 'heading-order')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 300)}`));
}
