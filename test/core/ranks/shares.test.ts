import { expect, test } from 'vitest';
import type { Communicator } from '../../../core/contracts/communicator.ts';
import { agreedStop, refuseDisagreement } from '../../../core/ranks/agreed.ts';
import { launchedAs } from '../../../core/ranks/launched.ts';
import { gatherJson, refuseFewer, shareOf, sumOverRanks } from '../../../core/ranks/shares.ts';
import { createStop } from '../../../core/stop.ts';

/** Ranks in one process: a call resolves when all have made it. */
function ranks(size: number): Communicator[] {
  const round = { given: [] as Uint8Array[], waiting: [] as ((all: Uint8Array[]) => void)[] };
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    allGather: (bytes: Uint8Array) =>
      new Promise<Uint8Array[]>((resolve) => {
        round.given[rank] = bytes;
        round.waiting.push(resolve);
        if (round.waiting.length < size) return;
        const { given, waiting } = { given: round.given, waiting: round.waiting };
        [round.given, round.waiting] = [[], []];
        for (const tell of waiting) tell(given);
      }),
    reduceScatter: () => Promise.reject(new Error('not here')),
    end: () => Promise.resolve([]),
  }));
}

test('shares are neighbors, cover everything once, and differ by one at most', () => {
  for (const [count, size] of [
    [8, 2],
    [7, 3],
    [2, 4],
    [0, 3],
  ] as const) {
    const items = Array.from({ length: count }, (_, index) => index);
    const shares = Array.from({ length: size }, (_, rank) => shareOf(items, { rank, size }));
    expect(shares.flat()).toEqual(items);
    const lengths = shares.map(({ length }) => length);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
  }
  expect(() => refuseFewer(2, { rank: 0, size: 4 }, 'recipe.batch')).toThrow(
    'recipe.batch is 2, and there are 4 ranks',
  );
});

test('sums over ranks keep every bit, NaN and what only one rank knows', async () => {
  const given = [{ a: 0.1, b: Number.NaN }, { a: 0.2 }, { a: 0.3, c: -0 }];
  const sums = await Promise.all(ranks(3).map((rank, index) => sumOverRanks(rank, given[index] ?? {})));
  for (const sum of sums) expect(sum).toEqual({ a: 0 + 0.1 + 0.2 + 0.3, b: Number.NaN, c: 0 });
  expect(await Promise.all(ranks(2).map((rank) => gatherJson(rank, rank.rank)))).toEqual([
    [0, 1],
    [0, 1],
  ]);
});

test('a stop that one rank has heard is one of all from the next look on; what is asked for is what the first was asked', async () => {
  const heard = [createStop(), createStop()];
  const agreed = ranks(2).map((rank, index) => agreedStop(heard[index] ?? createStop(), rank));
  const agree = (): Promise<unknown[]> =>
    Promise.all(agreed.map((each, index) => each.agree({ save: index === 0, prompts: index === 0 ? ['a cup'] : [] })));
  expect(await agree()).toEqual([
    { save: true, prompts: ['a cup'] },
    { save: true, prompts: [] },
  ]);
  expect(agreed.map(({ stop }) => stop.requested)).toEqual([false, false]);
  heard[1]?.request('SIGTERM', 143);
  expect(agreed.map(({ stop }) => stop.requested)).toEqual([false, false]);
  await agree();
  expect(agreed.map(({ stop }) => [stop.requested, stop.exitCode, stop.reason])).toEqual([
    [true, 143, 'SIGTERM'],
    [true, 143, 'SIGTERM'],
  ]);
  expect(heard[0]?.requested).toBe(true);
});

test('within a step, too, a stop is looked at by all together', async () => {
  const heard = [createStop(), createStop()];
  const stops = ranks(2).map((rank, index) => agreedStop(heard[index] ?? createStop(), rank).stop);
  await Promise.all(stops.map((stop) => stop.agree()));
  expect(stops.map(({ requested }) => requested)).toEqual([false, false]);
  heard[0]?.request('SIGTERM', 143);
  await Promise.all(stops.map((stop) => stop.agree()));
  expect(stops.map(({ requested, reason }) => [requested, reason])).toEqual([
    [true, 'SIGTERM'],
    [true, 'SIGTERM'],
  ]);
});

test('ranks whose numbers differ are told apart; times may differ', async () => {
  const told = (losses: readonly number[]): Promise<PromiseSettledResult<void>[]> =>
    Promise.allSettled(
      ranks(2).map((rank, index) =>
        refuseDisagreement(rank, { step: 3, metrics: { loss: losses[index] ?? 0, seconds: Math.random() } }),
      ),
    );
  expect((await told([1, 1])).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  for (const each of await told([1, 1.5]))
    expect(each).toMatchObject({
      reason: { code: 'RANKS_DISAGREE', message: expect.stringContaining('1.5 on rank 1 of 2') },
    });
});

test('what launchers tell: Open MPI, PMIx under Slurm, nobody, and another MPI', () => {
  expect(launchedAs({})).toBeUndefined();
  expect(launchedAs({ OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' })).toBeUndefined();
  expect(
    launchedAs({
      OMPI_COMM_WORLD_RANK: '2',
      OMPI_COMM_WORLD_SIZE: '4',
      OMPI_COMM_WORLD_LOCAL_RANK: '1',
      PMIX_RANK: '2',
    }),
  ).toEqual({ rank: 2, size: 4, localRank: 1 });
  expect(launchedAs({ PMIX_RANK: '1', SLURM_NTASKS: '2', SLURM_LOCALID: '0' })).toEqual({
    rank: 1,
    size: 2,
    localRank: 0,
  });
  // In the script of a job, not started by srun.
  expect(launchedAs({ SLURM_NTASKS: '4', SLURM_PROCID: '0' })).toBeUndefined();
  expect(() => launchedAs({ PMI_RANK: '1', PMI_SIZE: '4' })).toThrow('rank 1 of 4 by MPICH');
});
