/** A chat judge against an endpoint on its worst day, and then the same questions again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Reward, Sample } from '../../core/contracts/reward.ts';
import { PolicedCalls } from '../../core/judging/calls.ts';
import plugin from '../../plugins/chat-judge/index.ts';
import { FlakyEndpoint } from './flaky-endpoint.ts';

export interface Endured {
  readonly scores: number;
  readonly asked: number;
  readonly early: number;
  /** Requests for the same questions once more. */
  readonly askedAgain: number;
  readonly seconds: number;
}

/** Judges pictures until the endpoint has been bad for `badFor` milliseconds, `atLeast` of them at least. */
export async function judgeThroughFaults(badFor: number, atLeast: number, seed: number): Promise<Endured> {
  const endpoint = new FlakyEndpoint({ badFor, wish: 1, seed });
  const cache = mkdtempSync(join(tmpdir(), 'reasongen-flaky-'));
  const log = { warn: () => undefined };
  const component = plugin.provides.find(({ slot }) => slot === 'reward');
  const options = { url: await endpoint.open(), model: 'seer' };
  const { signal } = new AbortController();
  const open = async (): Promise<{ reward: Reward; calls: PolicedCalls }> => {
    const settings = { atOnce: 4, timeout: 0.5, retries: 12 };
    const calls = new PolicedCalls({ settings, who: 'reward "seer"', component: 'chat-judge', log, folder: cache });
    return {
      reward: (await component?.create(component.options.parse(options), { log, calls } as never)) as Reward,
      calls,
    };
  };
  const started = Date.now();
  const samples: Sample[] = [];
  const first = await open();
  let scores = 0;
  while (samples.length < atLeast || Date.now() - started < badFor) {
    const share = Array.from({ length: 16 }, (_, index) => sampleOf(samples.length + index));
    samples.push(...share);
    scores += (await first.reward.score(share, signal)).filter(
      (score) => (score as { value?: number }).value === 1,
    ).length;
  }
  const { asked, early } = endpoint;
  await first.calls.close();
  const second = await open();
  await second.reward.score(samples, signal);
  await second.calls.close();
  endpoint.close();
  rmSync(cache, { recursive: true });
  return { scores, asked, early, askedAgain: endpoint.asked - asked, seconds: (Date.now() - started) / 1000 };
}

function sampleOf(index: number): Sample {
  const data = Uint8Array.of(index & 255, (index >> 8) & 255, (index >> 16) & 255);
  return { id: String(index), prompt: 'a frog', image: { width: 1, height: 1, data } } as Sample;
}
