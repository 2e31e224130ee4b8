/** Defects of the published code that concern what a sequence holds and which prompts come; the numbers are those of the study's list. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Tokenizer } from '../../core/contracts/tokenizer.ts';
import { packSequences, type Sequence } from '../../core/nn/packing.ts';
import { isChosen, packCompletions, type Completion } from '../../core/recipes/grpo/completions.ts';
import { readPromptFiles } from '../../core/recipes/grpo/prompt-files.ts';
import { PromptSource } from '../../core/recipes/grpo/prompt-source.ts';
import { sequenceOf } from '../../core/recipes/sft/sequences.ts';
import { classWeights, sftOptions } from '../../core/recipes/sft/options.ts';
import { layouts } from '../../plugins/byte-bpe/layouts.ts';
import { loadByteBpe } from '../../plugins/byte-bpe/tokenizer.ts';
import { textsOf, type TextChoice } from '../../plugins/caption-data/texts.ts';
import { captionColumns } from '../support/captions.ts';

const tokenizer: Tokenizer = loadByteBpe(
  new URL('../../plugins/byte-bpe/nano/tokenizer.json', import.meta.url).pathname,
  layouts.nano,
);
const prompts = ['a photo of two cakes', 'a photo of a red dog', 'a photo of a cat left of a bus'];
const rationale = 'two cakes side by side';

/** The examples of supervised fine-tuning, one for each prompt. */
function examples(dropped: 'nothing' | 'both'): Sequence[] {
  return prompts.map((prompt) =>
    sequenceOf(tokenizer, { prompt, rationale }, [1, 2, 3, 4], { rationale: true, dropped }),
  );
}

function completion(forced: boolean): Completion {
  const promptIds = tokenizer.prompt(prompts[0] ?? '', 'rationale');
  const rationaleIds = tokenizer.encode('two cakes');
  const codes = [5, 6, 7, 8];
  return {
    sequence: {
      promptIds,
      rationaleIds,
      imageStartForced: forced,
      codes,
      logProbability: new Float32Array(rationaleIds.length + 1 + codes.length),
    },
    advantage: 1,
    step: 1,
  };
}

const choice = { rationale: true, guidance: 2, textTemperature: 1, imageTemperature: 1 };

test('defect 5: a dropped prompt looks as the unconditional branch looks when it is drawn and scored', () => {
  const [whole, dropped] = [examples('nothing'), examples('both')];
  whole.forEach((sequence, index) => expect(dropped[index]?.text).toEqual(tokenizer.unconditional(sequence.text)));
  // The scorer's branch, laid out by the same call, has the same positions.
  const batch = packCompletions([completion(false)], tokenizer, choice);
  const rows = batch.image.unconditionalRows ?? new Uint32Array(0);
  const trained = packSequences([dropped[0] ?? { text: [], firstTarget: 0, codes: [], trailing: [] }]);
  expect([...rows.slice(0, 4)].map((row) => batch.positions[row])).toEqual(
    [...trained.image.rows.slice(0, 4)].map((row) => trained.positions[row]),
  );
});

describe('defect 6: the image start', () => {
  test('is taught: it is a target of the text head, and weighs something', () => {
    expect(classWeights(sftOptions.parse({ steps: 1 }), 1).imageStart).toBeGreaterThan(0);
    for (const sequence of examples('nothing')) {
      const batch = packSequences([sequence]);
      expect([...batch.text.ids.slice(0, batch.text.used)]).toContain(tokenizer.special.imageStart);
    }
  });

  test('carries no loss where it was put there', () => {
    const forced = completion(true);
    const last = forced.sequence.rationaleIds.length;
    expect(isChosen('text', last, forced, choice)).toBe(false);
    expect(isChosen('text', last - 1, forced, choice)).toBe(true);
    expect(isChosen('text', last, completion(false), choice)).toBe(true);
  });
});

test('defect 7: nothing that the policy did not draw is scored behind a picture', () => {
  const batch = packCompletions([completion(false)], tokenizer, { ...choice, guidance: 1 });
  const { rationaleIds, codes } = completion(false).sequence;
  expect([batch.text.used, batch.image.used]).toEqual([rationaleIds.length + 1, codes.length]);
  expect(batch.usedTokens).toBe(completion(false).sequence.promptIds.length + rationaleIds.length + 1 + codes.length);
});

test('defect 21: a prompt is too long exactly where its tokens, frame included, are more than the limit; none is cut', () => {
  const lengths = prompts.map((prompt) => tokenizer.prompt(prompt, 'rationale').length);
  const limit = Math.max(...lengths);
  const source = (most: number): PromptSource =>
    new PromptSource(
      { tasks: ['t'], prompt: (index) => ({ prompt: prompts[index % 3] ?? '', task: 't', specification: {} }) },
      { pool: 0, fits: ({ prompt }) => tokenizer.prompt(prompt, 'rationale').length <= most },
    );
  expect(
    source(limit)
      .next(3)
      .map(({ prompt }) => prompt),
  ).toEqual(prompts);
  const short = source(limit - 1);
  const fitting = prompts.filter((_, index) => lengths[index] !== limit);
  expect(short.next(fitting.length + 1).map(({ prompt }) => prompt)).toEqual([...fitting, fitting[0]]);
  expect(short.tooLong).toBe(1);
});

test('defect 22: training and drawing lay a prompt out alike, word for word', () => {
  for (const [index, sequence] of examples('nothing').entries()) {
    const prompt = tokenizer.prompt(prompts[index] ?? '', 'rationale');
    expect(sequence.text.slice(0, prompt.length)).toEqual(prompt);
    expect(sequence.firstTarget).toBe(prompt.length);
  }
  expect(packCompletions([completion(false)], tokenizer, { ...choice, guidance: 1 }).textIds.slice(0, 5)).toEqual(
    Uint32Array.from(tokenizer.prompt(prompts[0] ?? '', 'rationale').slice(0, 5)),
  );
});

test('defect 29: special tokens are ids of the vocabulary, in every branch', () => {
  const { special, vocabularySize } = tokenizer;
  for (const id of Object.values(special)) expect(Number.isInteger(id) && id >= 0 && id < vocabularySize).toBe(true);
  const branch = tokenizer.unconditional([...tokenizer.prompt('a', 'rationale'), special.imageStart]);
  expect([branch[0], branch.at(-1)]).toEqual([special.bos, special.imageStart]);
});

describe('defects 22 and 32: prompt lists', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'reasongen-'));
    writeFileSync(join(folder, 'train.txt'), 'a bench\na bench\na cat\n');
    writeFileSync(join(folder, 'val.txt'), 'a cat.\nA dog by a tree.\n');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('a line that occurs twice is trained on once, and what is trained on is not held out', async () => {
    const [train] = await readPromptFiles([{ file: join(folder, 'train.txt'), weight: 1 }]);
    expect([train?.items.length, train?.repeated]).toEqual([2, 1]);
    const [held] = await readPromptFiles(
      [{ file: join(folder, 'val.txt'), weight: 1 }],
      new Set(train?.items.map(({ prompt }) => prompt)),
    );
    // The full stop is the layout's to add, once.
    expect(held?.items.map(({ prompt }) => prompt)).toEqual(['A dog by a tree']);
  });
});

test('defect 34: a single object stands alone, several are joined', () => {
  const fields: TextChoice = {
    columns: captionColumns,
    promptFields: ['object_prompts'],
    rationaleFields: [],
    rationaleShare: 0,
  };
  const promptOf = (objects: readonly string[]): string =>
    textsOf(
      { brief_caption: 'x', detailed_caption: 'y', augmented_prompts: { object_prompts: objects } },
      fields,
      () => 0,
    ).prompt;
  expect([['a cat'], ['a cat', 'a dog'], ['a cat', 'a dog', 'a tree']].map(promptOf)).toEqual([
    'a cat',
    'a cat and a dog',
    'a cat, a dog and a tree',
  ]);
});
