/** Which workers there are: each leaves a sign of life that goes by itself, and finds there whether it was refused. */
import { z, type AnswererIdentity, type DrawIdentity, type WorkerReport } from '../../core/plugin.ts';
import type { Redis } from './library.ts';
import { answererSchema } from './protocol.ts';

const names = 'reasongen:workers';
const refusals = 'reasongen:refused';
const signOf = (name: string): string => `reasongen:worker:${name}`;

/** Seconds between two signs of life, and how long one counts. */
export const beatSeconds = 3;
const signSeconds = 12;

const identitySchema = z.strictObject({
  program: z.string(),
  adapter: z.string(),
  model: z.string(),
  tokenizer: z.string(),
});

const signSchema = z.strictObject({
  program: z.string(),
  draws: identitySchema.optional(),
  answers: z.array(answererSchema),
  host: z.string(),
  pid: z.number(),
  check: z.string(),
  seconds: z.number(),
  jobs: z.number(),
});

/** What a worker says of itself. */
export type SignOfLife = Omit<WorkerReport, 'name' | 'refused'>;

export async function giveSign(redis: Redis, name: string, sign: SignOfLife): Promise<void> {
  await redis.set(signOf(name), JSON.stringify(sign), 'EX', signSeconds);
  await redis.sadd(names, name);
}

export async function leaveRegistry(redis: Redis, name: string): Promise<void> {
  await redis.del(signOf(name));
  await redis.srem(names, name);
}

/** Those with a sign of life, by name. */
export async function readRegistry(redis: Redis): Promise<WorkerReport[]> {
  const known = (await redis.smembers(names)).toSorted();
  if (known.length === 0) return [];
  const signs = await redis.mget(known.map(signOf));
  const refused = await redis.hmget(refusals, ...known);
  const gone = known.filter((_, index) => typeof signs[index] !== 'string');
  if (gone.length > 0) await redis.srem(names, ...gone);
  return known.flatMap((name, index): WorkerReport[] => {
    const sign = parseSign(signs[index]);
    const why = refused[index];
    return sign === undefined ? [] : [{ name, ...sign, ...(typeof why === 'string' && { refused: why }) }];
  });
}

/** From now on no run waits for this worker, and it ends when it looks. */
export async function refuseWorker(redis: Redis, name: string, why: string): Promise<void> {
  await redis.hset(refusals, name, why);
}

export async function refusalOf(redis: Redis, name: string): Promise<string | undefined> {
  return (await redis.hget(refusals, name)) ?? undefined;
}

export function isAlike<Identity extends DrawIdentity | AnswererIdentity>(one: Identity, other: Identity): boolean {
  return differences(one, other).length === 0;
}

/** In words, in what two identities differ. */
export function differences<Identity extends DrawIdentity | AnswererIdentity>(
  one: Identity,
  other: Identity,
): string[] {
  return (Object.keys(one) as (keyof Identity)[])
    .filter((key) => one[key] !== other[key])
    .map((key) => `${String(key)} ${String(other[key])} in place of ${String(one[key])}`);
}

function parseSign(text: unknown): SignOfLife | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const parsed = signSchema.safeParse(JSON.parse(text));
    if (!parsed.success) return undefined;
    const { draws, ...sign } = parsed.data;
    return draws === undefined ? sign : { ...sign, draws };
  } catch {
    // Not written by a worker of ours.
    return undefined;
  }
}
