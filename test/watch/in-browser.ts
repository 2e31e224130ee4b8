/** Tests that take a browser: passed over, and said to be, where there is none. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe } from 'vitest';
import { executablePath, launchBrowser } from './browser.ts';
import { chromiumHint } from './chromium.mjs';

/** `browser` of `tests` is there once they run. */
export function describeInBrowser(name: string, tests: (browser: () => Browser) => void): void {
  const isMissing = executablePath === undefined;
  if (isMissing) process.stderr.write(`${chromiumHint}\n`);
  describe.skipIf(isMissing)(`${name}${isMissing ? ` (${chromiumHint})` : ''}`, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await launchBrowser();
    });
    afterAll(() => browser?.close());
    tests(() => browser);
  });
}
