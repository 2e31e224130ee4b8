/**
 * Drawing on the device of a run against drawing on devices that share no threads (core/drawing/local.ts): 128 sequences of the nano model, the two in turn.
 *   npm run bench:drawing [-- ROUNDS]
 * Each round compares the two within some seconds, so the median of the ratios says more than that of the times where other work comes and goes.
 */
import { Workspace } from '../../core/autograd/workspace.ts';
import type { DrawRequest, DrawSizes, SequenceDrawer } from '../../core/contracts/executor.ts';
import { openLocalDrawer } from '../../core/drawing/local.ts';
import { openSequenceDrawer } from '../../core/drawing/sequences.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { backbone, codes, end, imageStart, randomSequences } from './cases/nano.ts';
import { summarize } from './measure.ts';

const rounds = Number(process.argv[2] ?? 15);
const [prompts, samplesPerPrompt] = [16, 8];
const device = await openDevice();
if (device.divisibleThreads < 2) {
  process.stdout.write(`${device.adapter.description}: nothing to divide\n`);
  process.exit();
}
const model = {
  workspace: new Workspace(device),
  backbone,
  weights: new ParameterSet(device, backbone.parameters, { seed: 0 }),
  tokenizer: {
    vocabularySize: backbone.textVocabulary,
    special: { bos: 0, eos: end, pad: 3, imageStart },
    hash: 'bench',
    encode: () => [],
    decode: () => '',
    prompt: () => [],
    unconditional: () => [0, imageStart],
  },
};
const plain = { temperature: 1, topK: 0, topP: 1 };
for (const guidance of [1, 3]) {
  const sizes: DrawSizes = {
    rows: prompts * samplesPerPrompt,
    prompts,
    promptTokens: 10,
    textTokens: 18,
    codes,
    isGuided: guidance !== 1,
    cache: 'f32',
    precision: 'f32',
  };
  const request = (seed: number): DrawRequest => ({
    prompts: randomSequences(prompts).map(({ text }) => text.slice(0, 10)),
    samplesPerPrompt,
    seed,
    rowKeys: Array.from({ length: sizes.rows }, (_, row) => row),
    text: plain,
    image: { ...plain, guidance },
    rationale: 'write',
  });
  const [whole, divided] = [await openSequenceDrawer(model, sizes), await openLocalDrawer(model, sizes)];
  const timed = async (drawer: SequenceDrawer, seed: number): Promise<{ wall: number; cpu: number; drawn: string }> => {
    const [before, started] = [process.cpuUsage(), performance.now()];
    const drawn = await drawer.draw(request(seed));
    const wall = performance.now() - started;
    const { user, system } = process.cpuUsage(before);
    return { wall, cpu: (user + system) / 1000, drawn: JSON.stringify(drawn) };
  };
  // The first ones compile.
  await timed(whole, 0);
  await timed(divided, 0);
  const found: Record<'whole' | 'divided' | 'wall' | 'cpu', number>[] = [];
  for (let round = 1; round <= rounds; round++) {
    const isFirst = round % 2 === 1;
    const early = await timed(isFirst ? whole : divided, round);
    const late = await timed(isFirst ? divided : whole, round);
    const [one, other] = isFirst ? [early, late] : [late, early];
    if (one.drawn !== other.drawn) throw new Error('the two have not drawn the same');
    found.push({ whole: one.wall, divided: other.wall, wall: other.wall / one.wall, cpu: other.cpu / one.cpu });
  }
  const of = (name: 'whole' | 'divided' | 'wall' | 'cpu', digits: number): string => {
    const { low, median, high } = summarize(found.map((each) => each[name]));
    return `${median.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
  };
  process.stdout.write(
    `${sizes.rows} rows, guidance ${guidance}, ${rounds} rounds, the same bits; medians and quartiles
  one device:      ${of('whole', 0)} ms
  ${device.divisibleThreads} threads apart: ${of('divided', 0)} ms
  of one device:   time ${of('wall', 3)}, processor ${of('cpu', 3)}
`,
  );
  whole.close();
  divided.close();
}
device.close();
