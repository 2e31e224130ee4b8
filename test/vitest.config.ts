import { defineConfig } from 'vitest/config';

// Device tests share two cores and one software driver: one file at a time, each in a process of its own.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**'],
    pool: 'forks',
    fileParallelism: false,
    isolate: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    typecheck: { enabled: false },
    reporters: process.env['CI'] ? ['dot'] : ['default'],
  },
});
