/**
 * Teaches a small Qwen2.5-VL to judge pictures of the nano world by the detector's verdicts. Beside answers it learns to name what is in a cell by
 * the vector of that cell: with answers alone it stayed blind for a thousand steps, as yes and no say too little of a picture.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../../core/autograd/program.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Backbone, Vision } from '../../../core/contracts/backbone.ts';
import type { OpenOptimizer } from '../../../core/contracts/optimizer.ts';
import type { Tokenizer } from '../../../core/contracts/tokenizer.ts';
import { wilson } from '../../../core/evaluation/intervals.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { streamSafetensors } from '../../../core/io/safetensors-stream.ts';
import { placePictures } from '../../../core/nn/features.ts';
import { createPackedInputs, shapeKey } from '../../../core/nn/packed-inputs.ts';
import { packSequences, type PackedBatch, type Sequence } from '../../../core/nn/packing.ts';
import { createPictureInputs } from '../../../core/nn/picture-inputs.ts';
import { tokenLogProbability } from '../../../core/ops/log-probability.ts';
import { gatherRows } from '../../../core/ops/rows.ts';
import { at } from '../../../core/tensor/at.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { drawStream } from '../../../plugins/nano-world/random.ts';
import { multiTensor } from '../../../plugins/optimizers/multi-tensor.ts';
import { openJudge, writeJudgeFolder, type OpenJudge } from './model.ts';
import {
  lessonOn,
  ownVerdict,
  renderedPicture,
  side,
  verdictInstruction,
  type Lesson,
  type Mix,
  type SeenPicture,
} from './questions.ts';

/** A stretch of training with questions of its own and a fresh optimizer. */
interface Phase {
  readonly steps: number;
  /** Steps after which the rate would be at its lowest. */
  readonly schedule: number;
  readonly batch: number;
  readonly rate: number;
  /** Share of the pictures that a policy has drawn; the others are rendered. */
  readonly drawn: number;
  readonly mix: Mix;
}

const phases: readonly Phase[] = [
  // What is where.
  {
    ...{ steps: 500, schedule: 700, batch: 64, rate: 2e-3, drawn: 0.6 },
    mix: { ownPrompt: 0, inventory: 0.2, cell: 0.4, retrieval: 0, presence: 0.65 },
  },
  // What belongs to what.
  {
    ...{ steps: 400, schedule: 1200, batch: 96, rate: 2e-3, drawn: 0.6 },
    mix: { ownPrompt: 0, inventory: 0.05, cell: 0.1, retrieval: 0.5, presence: 0.65 },
  },
  // What it is for.
  {
    ...{ steps: 250, schedule: 250, batch: 96, rate: 1.5e-3, drawn: 0.8 },
    mix: { ownPrompt: 0.6, inventory: 0.05, cell: 0.1, retrieval: 0.5, presence: 0.65 },
  },
];

/** Yes and no weigh more than each of the words of an answer. */
const verdictWeight = 3;
const seed = 1;

/** Drawings with what was asked for. */
export type DrawnPicture = SeenPicture & { readonly prompt: string };

/** Writes the model's folder. `share` shortens every phase, for a test. */
export async function teachJudge(
  folder: string,
  {
    train,
    heldOut,
    share = 1,
  }: { readonly train: readonly DrawnPicture[]; readonly heldOut: readonly DrawnPicture[]; readonly share?: number },
): Promise<string> {
  writeJudgeFolder(folder, corpus());
  const judge = await openJudge(folder);
  const device = await openDevice();
  try {
    const pupil = new Pupil(device, judge);
    process.stdout.write(`${pupil.weights.elements} parameters, ${judge.tokenizer.vocabularySize} tokens\n`);
    for (const [number, phase] of phases.entries()) await takePhase(pupil, phase, number + 1, train, share);
    const parts: Uint8Array[] = [];
    for await (const part of streamSafetensors(pupil.weights.asSource(), {})) parts.push(part.slice());
    writeFileSync(join(folder, 'model.safetensors'), Buffer.concat(parts));
    return await pupil.examine(heldOut.map(ownVerdict));
  } finally {
    device.close();
  }
}

/** Every word that is asked or answered. */
function corpus(): string[] {
  const random = drawStream(3, 3, 3);
  const lessons = Array.from({ length: 600 }, (_, index) => {
    const { question, answer } = lessonOn(renderedPicture(3, index), at(phases, 0).mix, random);
    return [question, answer, ` ${answer}`];
  });
  return [
    ...lessons.flat(),
    ...Array.from({ length: 12 }, (_, number) => String(number)),
    'yes',
    'no',
    'Yes',
    'No',
    'user',
    'assistant',
    verdictInstruction,
  ];
}

async function takePhase(
  pupil: Pupil,
  phase: Phase,
  number: number,
  train: readonly DrawnPicture[],
  share: number,
): Promise<void> {
  const { steps, schedule, batch, rate, drawn, mix } = phase;
  pupil.begin();
  for (let step = 1; step <= Math.ceil(steps * share); step++) {
    const lessons = Array.from({ length: batch }, (_, index) => {
      const random = drawStream(seed, 31, step, index);
      const isDrawn = random.uniform() < drawn;
      return lessonOn(isDrawn ? random.pick(train) : renderedPicture(seed, step * batch + index), mix, random);
    });
    const factor = Math.min(1, step / 30) * (0.02 + 0.98 * (0.5 + 0.5 * Math.cos((Math.PI * step) / schedule)));
    const right = await pupil.learn(lessons, step, rate * factor);
    if (step % 50 === 0)
      process.stdout.write(`phase ${number}, step ${step}: ${right.toFixed(2)} of yes and no right\n`);
  }
}

interface Recorded {
  readonly program: Program;
  /** f32 [targets, 2]: log-probability and entropy. */
  readonly out: Tensor;
  readonly slopes: Tensor;
  fill(packed: PackedBatch, lessons: readonly Lesson[]): void;
}

class Pupil {
  readonly weights: ParameterSet;
  private readonly device: Device;
  private readonly backbone: Backbone;
  private readonly vision: Vision;
  private readonly tokenizer: Tokenizer;
  private readonly workspace: Workspace;
  private optimizer: OpenOptimizer | undefined;
  private programs = new Map<string, Recorded>();

  constructor(device: Device, { backbone, vision, tokenizer }: OpenJudge) {
    this.device = device;
    this.backbone = backbone;
    this.vision = vision;
    this.tokenizer = tokenizer;
    const specs = [...backbone.parameters, ...vision.parameters];
    this.weights = new ParameterSet(device, specs, { seed, trainable: () => true });
    this.workspace = new Workspace(device);
  }

  /** With an optimizer that remembers nothing. */
  begin(): void {
    for (const { program } of this.programs.values()) program.dispose();
    this.programs = new Map();
    this.optimizer = multiTensor({
      kernel: 'optimizer/adamw',
      states: { first_moment: 'element', second_moment: 'element' },
      params: { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.01, max_norm: 1 },
      schedule: (step, rate) => [rate, 1 - 0.9 ** step, 1 - 0.98 ** step],
    }).open(this.weights);
  }

  /** One update. Returns the share of yes and no that was right before it. */
  async learn(lessons: readonly Lesson[], step: number, rate: number): Promise<number> {
    const packed = packSequences(lessons.map((lesson) => this.sequenceOf(lesson)));
    const recorded = await this.recorded(packed, lessons, this.optimizer);
    const weightOf = (owner: number): number => (at(lessons, owner).isVerdict ? verdictWeight : 1);
    const owners = Array.from(packed.text.owner);
    const total = owners.reduce((sum, owner) => sum + weightOf(owner), 0);
    const slopes = new Float32Array(packed.text.count * 2);
    owners.forEach((owner, index) => (slopes[index * 2] = -weightOf(owner) / total));
    this.device.write(recorded.slopes, slopes);
    this.optimizer?.prepare(step, rate);
    const said = await this.run(recorded, packed);
    const verdicts = said.filter((_, owner) => at(lessons, owner).isVerdict);
    return verdicts.filter(isRight).length / verdicts.length;
  }

  /** How often it says of held-out drawings what the detector says. */
  async examine(lessons: readonly Lesson[]): Promise<string> {
    const size = 96;
    const wrong = { yes: 0, no: 0 };
    for (let first = 0; first < lessons.length; first += size) {
      const part = lessons.slice(first, first + size);
      const packed = packSequences(part.map((lesson) => this.sequenceOf(lesson)));
      const said = await this.run(await this.recorded(packed, part), packed);
      said.forEach((value, owner) => {
        if (!isRight(value)) wrong[at(part, owner).answer === 'yes' ? 'no' : 'yes'] += 1;
      });
    }
    const { rate, low, high } = wilson(lessons.length - wrong.yes - wrong.no, lessons.length);
    const yes = lessons.filter(({ answer }) => answer === 'yes').length;
    return `right on ${rate.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}] of ${lessons.length} held-out drawings: it affirms ${wrong.yes} of ${lessons.length - yes} wrong ones and denies ${wrong.no} of ${yes} right ones`;
  }

  /** The log-probability of the first token of every answer. */
  private async run({ program, out }: Recorded, packed: PackedBatch): Promise<number[]> {
    program.run();
    const found = await this.device.readFloats(out);
    const said: number[] = [];
    packed.text.owner.forEach((owner, index) => (said[owner] ??= at(found, index * 2)));
    return said;
  }

  private sequenceOf({ question, answer }: Lesson): Sequence {
    const { tokenizer, vision, backbone } = this;
    const span = vision.span({ width: side, height: side });
    const asked = tokenizer.conversation?.([{ question, pictures: [span.vectors] }]) ?? [];
    const text = [...asked, ...tokenizer.encode(answer), tokenizer.special.eos];
    const placed = placePictures(text, tokenizer.special.imagePlaceholder ?? -1, [span], backbone.positionAxes ?? 1);
    return {
      text,
      firstTarget: asked.length,
      codes: [],
      trailing: [],
      features: placed.at,
      positions: placed.positions,
    };
  }

  private async recorded(
    packed: PackedBatch,
    lessons: readonly Lesson[],
    optimizer?: OpenOptimizer,
  ): Promise<Recorded> {
    const key = `${optimizer === undefined ? 'examine' : 'learn'} ${shapeKey(packed)}`;
    const recorded = this.programs.get(key) ?? (await this.record(key, packed, lessons, optimizer));
    this.programs.set(key, recorded);
    recorded.fill(packed, lessons);
    return recorded;
  }

  private async record(
    key: string,
    packed: PackedBatch,
    lessons: readonly Lesson[],
    optimizer?: OpenOptimizer,
  ): Promise<Recorded> {
    const { device, backbone, vision, weights } = this;
    const inputs = createPackedInputs(device, packed, backbone);
    const layOut = (shown: readonly Lesson[]) => vision.layOut(shown.map(({ image }) => vision.fit(image)));
    const pictures = createPictureInputs(device, layOut(lessons));
    const vectors = lessons.length * 9;
    const names = device.tensor('names', [vectors], 'u32');
    const colors = device.tensor('colors', [vectors], 'u32');
    const slopes = device.tensor('slopes', [packed.text.count, 2], 'f32');
    const tape = new Tape(this.workspace);
    if (optimizer !== undefined) weights.watch(tape);
    const features = vision.features(tape, weights, pictures);
    const hidden = backbone.hidden(tape, weights, { ...inputs.tokens, features });
    const states = gatherRows(tape, hidden, inputs.textTargets.rows);
    const scored = tokenLogProbability(tape, backbone.textLogits(tape, weights, states), inputs.textTargets.ids, {
      temperature: 1,
    });
    if (optimizer !== undefined) {
      // The head is the table of tokens: a vector that names what it shows stands near the words of a question.
      const named = backbone.textLogits(tape, weights, features);
      const share = device.tensor(
        'share',
        [vectors, 2],
        'f32',
        Float32Array.from({ length: vectors * 2 }, (_, index) => (index % 2 === 0 ? -1 / vectors : 0)),
      );
      for (const words of [names, colors])
        tape.seed(tokenLogProbability(tape, named, words, { temperature: 1 }), share);
      tape.seed(scored, slopes);
      tape.backward();
      optimizer.record(tape);
    }
    const out = tape.output(scored);
    return {
      ...{ program: await tape.finish(key), out, slopes },
      fill: (others, shown) => {
        inputs.fill(others);
        pictures.fill(layOut(shown));
        const words = shown.flatMap(({ cells }) => cells.map((one) => this.wordsOf(one)));
        device.write(
          names,
          Uint32Array.from(words, ([name]) => name),
        );
        device.write(
          colors,
          Uint32Array.from(words, ([, color]) => color),
        );
      },
    };
  }

  /** Tokens of what is in a cell, by kind and by color. */
  private wordsOf(one: Lesson['cells'][number]): [number, number] {
    const last = (word: string): number => this.tokenizer.encode(` ${word}`).at(-1) ?? 0;
    return one === undefined ? [last('nothing'), last('nothing')] : [last(one.name), last(one.color ?? one.name)];
  }
}

function isRight(logProbability: number): boolean {
  return logProbability > Math.log(0.5);
}
