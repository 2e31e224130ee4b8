/** Evidence checked where it enters: nothing that follows from it could be right. */
import type { JudgeCapability } from '../contracts/judge.ts';

/** Why a value is not what a judge must give, in words; undefined when it is. `given`: what the judge was asked, without the signal. */
export function evidenceFault(
  capability: JudgeCapability,
  given: readonly unknown[],
  value: unknown,
): string | undefined {
  switch (capability) {
    case 'answer':
    case 'write':
      return typeof value === 'string' ? undefined : `${kind(value)} and no text`;
    case 'classify':
    case 'similarity':
      return numbersFault(value, (given[capability === 'similarity' ? 1 : 2] as readonly unknown[]).length);
    case 'answerProbabilities':
      return numbersFault(value, (given[2] as readonly unknown[]).length) ?? probabilityFault(value as number[]);
    case 'detect':
      return listFault(value, (item) => placedFault(item, 'label') ?? maskFault(item['mask']));
    case 'read':
      return listFault(value, (item) => placedFault(item, 'text'));
    case 'depth':
      return areaFault(value, 'values', Float32Array);
  }
}

type Fields = Readonly<Record<string, unknown>>;

function numbersFault(value: unknown, count: number): string | undefined {
  if (!Array.isArray(value)) return `${kind(value)} and no list`;
  if (value.length !== count) return `${value.length} numbers where ${count} were asked for`;
  const index = value.findIndex((each) => typeof each !== 'number' || !Number.isFinite(each));
  return index < 0 ? undefined : `number ${index} is ${String(value[index])}`;
}

/** Sums of rounded numbers may be beyond 1 by a little. */
function probabilityFault(values: readonly number[]): string | undefined {
  const index = values.findIndex((each) => each < 0 || each > 1.001);
  return index < 0 ? undefined : `number ${index} is ${String(values[index])} and no probability`;
}

function listFault(value: unknown, fault: (item: Fields) => string | undefined): string | undefined {
  if (!Array.isArray(value)) return `${kind(value)} and no list`;
  for (const [index, item] of value.entries()) {
    const found = isFields(item) ? fault(item) : kind(item);
    if (found !== undefined) return `item ${index} is ${found}`;
  }
  return undefined;
}

function placedFault(item: Fields, named: string): string | undefined {
  if (typeof item[named] !== 'string') return `without a \`${named}\``;
  if (typeof item['score'] !== 'number' || !Number.isFinite(item['score'])) return 'without a finite `score`';
  const fault = numbersFault(item['box'], 4);
  return fault === undefined ? undefined : `without a \`box\` of four numbers (${fault})`;
}

function maskFault(mask: unknown): string | undefined {
  const fault = mask === undefined ? undefined : areaFault(mask, 'bits', Uint8Array);
  return fault === undefined ? undefined : `with a mask that is ${fault}`;
}

function areaFault(
  value: unknown,
  key: string,
  type: Uint8ArrayConstructor | Float32ArrayConstructor,
): string | undefined {
  if (!isFields(value)) return kind(value);
  const { width, height, [key]: data } = value;
  if (!(data instanceof type)) return `without \`${key}\` as a ${type.name}`;
  if (data.length !== Number(width) * Number(height))
    return `${String(width)} x ${String(height)} with ${data.length} ${key}`;
  return undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function kind(value: unknown): string {
  return value === null ? 'null' : value === undefined ? 'nothing' : `a ${typeof value}`;
}
