/** Whoever looks at pictures and answers with a model on a device of this program's, in this process or another. */
import type { Calls } from '../contracts/calls.ts';
import type { Asker } from '../questions/asker.ts';
import type { ChoiceQuestion, WrittenQuestion } from './answerer.ts';

/** A written answer; `ended`: whether the model ended it, and not the budget. */
export interface Written {
  readonly text: string;
  readonly ended: boolean;
}

export interface Looker {
  /** Makes everything it will need. */
  reserve(): Promise<void>;
  /** How likely the answer begins with each of the sets of spellings. Throws QUESTION_TOO_LONG. */
  probabilities(question: ChoiceQuestion, signal: AbortSignal): Promise<readonly number[]>;
  /** An answer in words. Throws QUESTION_TOO_LONG. */
  write(question: WrittenQuestion, signal: AbortSignal): Promise<Written>;
  /** Leaves the device until it is asked again; of one that comes and goes. */
  rest?(): Promise<void>;
}

/**
 * Asked as the runtime makes calls: so many at a time, each within a time. Answers are kept by what makes them its answers; without a
 * `fingerprint` none is, as they change.
 */
export function lookerAsker(
  looker: Looker,
  calls: Pick<Calls, 'run'>,
  fingerprint?: Readonly<Record<string, string>>,
): Asker {
  const asked = (all: readonly unknown[]) => fingerprint && { fingerprint, asked: all };
  return {
    answer: async (image, question, turn, signal) => {
      const { text, ended } = await calls.run(
        (inner) => looker.write({ image, question, turn }, inner),
        signal,
        keyed(image, asked(['answer', turn, question])),
      );
      return { text, isCut: !ended };
    },
    probabilities: (image, question, answers, signal) =>
      calls.run(
        (inner) => looker.probabilities({ image, question, answers }, inner),
        signal,
        keyed(image, asked(['probabilities', answers, question])),
      ),
    write: async (question, signal) =>
      (await calls.run((inner) => looker.write({ question }, inner), signal, asked(['write', question]))).text,
  };
}

function keyed<Key extends object, Image>(
  image: Image,
  key: Key | undefined,
): (Key & { readonly image: Image }) | undefined {
  return key && { ...key, image };
}
