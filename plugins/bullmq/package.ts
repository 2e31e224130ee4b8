import type { OptionalPackage } from '../../core/plugin.ts';

/** The queue and its client for Redis; whoever trains with one process needs neither. */
export const bullmqPackages: readonly OptionalPackage[] = ['bullmq', 'ioredis'].map((name) => ({
  name,
  purpose: 'the executor bullmq: drawings by workers on a queue',
  install: 'npm install bullmq@6.7.0 ioredis@6.0.0',
}));
