/** The table of clusters is what the simulator says. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { clusterPage, clusterTable, withTable } from './cluster-table.ts';

test('the table of the page is up to date', async () => {
  const page = readFileSync(clusterPage, 'utf8');
  expect(withTable(page, await clusterTable()), 'run `npm run docs:clusters`').toBe(page);
});
