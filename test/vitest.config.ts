import { defineConfig } from 'vitest/config';

/**
 * What takes minutes: programs that are packed, installed, started, killed and resumed as users do. `npm run test:slow` runs these, and CI runs
 * them after the others.
 */
const slow = [
  'test/bad-input/{interrupts,strays}.test.ts',
  'test/bench/judge.test.ts',
  'test/core/commands/{init,sweep}.test.ts',
  'test/core/recipes/{chain,combinations,edited-rewards,inputs,kill,repeat}.test.ts',
  'test/core/recipes/grpo/hacking.test.ts',
  'test/faults/faults.test.ts',
  'test/package/package.test.ts',
  'test/plugins/bullmq/{ahead,judged,killed,network,secure,vlm-judge}.test.ts',
  'test/plugins/chat-judge-served.test.ts',
  'test/plugins/mpi/{sft,grpo,killed}.test.ts',
  'test/readme/readme.test.ts',
  'test/soak/serve.test.ts',
  'test/watch/{beside,page,resumed}.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'quick', include: ['test/**/*.test.ts'], exclude: ['**/node_modules/**', ...slow] },
      },
      { extends: true, test: { name: 'slow', include: slow } },
    ],
    // Each file in a process of its own. Two at a time: a program that starts uses one core, and so does half of a software driver.
    pool: 'forks',
    isolate: true,
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    typecheck: { enabled: false },
    reporters: process.env['CI'] ? ['dot'] : ['default'],
  },
});
