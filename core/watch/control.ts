/** The buttons of the page: what a person asks of a run that goes on, and the drawings that a run has made for them. */
import { exitCodes, ReasongenError } from '../errors.ts';
import { listWithin } from '../io/record-file.ts';
import { checkedRunRecord, readSamplePicture, readSamplesIn, type SampleRecord } from '../io/records.ts';
import { checkRequest, writeRequest } from '../io/requests.ts';
import { runState } from '../io/run-state.ts';
import { shownOf } from '../report/run-detail.ts';

/** Drawings of the playground that are shown: those of the last requests. */
const mostShown = 64;

/** A drawing of the playground. */
export type PlaygroundSample = Omit<SampleRecord, 'codes' | 'image'> & {
  readonly picture: string;
  readonly step: number;
};

/** Throws BAD_REQUEST for what is no request, and NOT_RUNNING for a run that nobody would hear of it. */
export async function askRun(directory: string, value: unknown): Promise<void> {
  const request = checkRequest(value);
  if (request === undefined)
    throw refusal(
      'BAD_REQUEST',
      'this is nothing a run can be asked',
      'ask for save, stop, or draw with 1 to 8 prompts',
    );
  if (runState(directory, await checkedRunRecord(directory)) !== 'running')
    throw refusal('NOT_RUNNING', 'this run is not going on', 'go on with it: npx reasongen resume DIRECTORY');
  await writeRequest(directory, request);
}

/** Newest first. */
export async function readPlayground(directory: string): Promise<PlaygroundSample[]> {
  const folders = (await listWithin(directory, 'playground')).flatMap((name) => {
    const [, step, number] = /^step-(\d{6,12})-(\d{1,6})$/.exec(name) ?? [];
    return step === undefined ? [] : [{ name, step: Number(step), number: Number(number) }];
  });
  const shown: PlaygroundSample[] = [];
  for (const { name, step } of folders.sort((a, b) => b.step - a.step || b.number - a.number)) {
    if (shown.length >= mostShown) break;
    for (const sample of await readSamplesIn(directory, `playground/${name}`))
      shown.push({ ...shownOf(sample), picture: sample.image.slice('playground/'.length), step });
  }
  return shown.slice(0, mostShown);
}

/** As base64; empty for what is no picture of the playground. */
export async function readPlaygroundPicture(directory: string, name: string): Promise<string> {
  if (!/^step-\d{6,12}-\d{1,6}\/[\w-]+\.png$/.test(name)) return '';
  return readSamplePicture(directory, { image: `playground/${name}` });
}

function refusal(code: string, message: string, hint: string): ReasongenError {
  return new ReasongenError({ code, message, hint, exitCode: exitCodes.failure });
}
