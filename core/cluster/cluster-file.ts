/** What a cluster is, as a file says it: devices, how long each piece of work takes on one of them, and what lies between them. */
import { resolve } from 'node:path';
import { processEnvironment, type Environment } from '../environment.ts';
import { type PresetError, ProblemsError } from '../errors.ts';
import { readPresetFiles } from '../preset/files.ts';
import type { LocatedMap } from '../preset/located.ts';
import { checkMap } from '../preset/options.ts';
import { reported } from '../preset/problem-order.ts';
import { z } from '../preset/zod.ts';

const whole = z.number().int().positive();

/** A number that says where it is from: one that nobody has measured is told from one that somebody has. */
const figure = z
  .strictObject({
    value: z.number().nonnegative().describe('the number itself, in seconds, bytes per second or as the key says'),
    measured: z.string().min(1).optional().describe('where and when it was measured'),
    assumed: z.string().min(1).optional().describe('why it is taken to be so, by whom'),
  })
  .refine(
    ({ measured, assumed }) => (measured === undefined) !== (assumed === undefined),
    'say either how it was `measured` or why it is `assumed`',
  );

const rate = figure.refine(({ value }) => value > 0, 'a rate is more than 0');

export const clusterSchema = z.strictObject({
  name: z.string().min(1).describe('what it is called in what is printed'),
  devices: z.union([whole, z.array(whole).min(1)]).describe('how many there are; a list asks about several clusters'),
  trainers: z
    .union([z.literal('best'), whole])
    .default('best')
    .describe('devices that train (ranks); the best number is looked for unless told'),
  judges: z
    .union([z.literal('elsewhere'), z.literal('best'), whole])
    .default('elsewhere')
    .describe('devices that judge; `elsewhere`: none of these, and all calls share `callsAtOnce`'),
  callsAtOnce: whole.default(8).describe('calls that are answered at a time: by each device that judges, or elsewhere'),
  callsPerDrawing: z.number().nonnegative().default(1).describe('questions asked about each drawing'),
  judgedTogether: z
    .boolean()
    .default(false)
    .describe('all drawings of a rollout are judged when the last is there, as by a reward that compares them'),
  seconds: z.strictObject({
    job: figure.describe('of a job of drawing, however many drawings it has'),
    drawing: figure.describe('more for each drawing in it'),
    decoding: figure.describe('for a trainer to make the picture of a drawing from its codes'),
    call: figure.describe('for a judge to answer a call'),
    training: figure.describe('of forward and backward passes for one drawing, or one example of SFT'),
    update: figure.describe('of an update by one rank: optimizer, and what is looked at; ranks share it'),
    saving: figure.describe('of a checkpoint'),
  }),
  network: z.strictObject({
    roundTrip: figure.describe('seconds to the queue and back'),
    publish: rate.describe('bytes per second at which a trainer reads, hashes and puts its weights'),
    fetch: rate.describe('bytes per second at which one worker fetches and verifies them'),
    fetchTogether: rate.describe('bytes per second of all workers together: what the queue or the shared folder gives'),
    gradients: rate.describe('bytes per second between two trainers'),
    gradientLatency: figure.describe('seconds for a message between two trainers'),
  }),
  failures: z
    .strictObject({
      perDeviceHour: figure.describe('failures of a device in an hour'),
      restart: figure.describe('seconds until what failed works again'),
    })
    .optional()
    .describe('none unless told'),
  rounds: figure
    .optional()
    .describe('rollouts of a step, on average: more than 1 where groups without variance are replaced; 1 unless told'),
});

export type Cluster = z.output<typeof clusterSchema>;

/** Reads and checks a cluster file, and what it extends. Throws one `ProblemsError` with all that is wrong with it. */
export function readCluster(file: string, environment: Environment = processEnvironment): Cluster {
  const problems: PresetError[] = [];
  const [first, ...others] = readPresetFiles(resolve(file), undefined, problems);
  if (first !== undefined && problems.length === 0) {
    const { origin, entries } = others.reduce(onTop, first);
    const own = new Map([...entries].filter(([key]) => key !== 'extends'));
    const whose = {
      owner: 'a cluster',
      schema: clusterSchema,
      more: ['extends'],
      help: 'presets/clusters holds whole ones; `extends` takes one as a base',
    };
    const lookup = { stages: new Map(), environment };
    const checked = checkMap(whose, { kind: 'map', origin, entries: own }, 'cluster', lookup, problems);
    if (checked !== undefined) return checked;
  }
  throw new ProblemsError(reported(problems));
}

/** Maps merge; a figure replaces, with where it is from. */
function onTop(under: LocatedMap, over: LocatedMap): LocatedMap {
  const entries = new Map(under.entries);
  for (const [key, { key: at, value }] of over.entries) {
    const before = entries.get(key)?.value;
    const isSection = value.kind === 'map' && before?.kind === 'map' && !value.entries.has('value');
    entries.set(key, { key: at, value: isSection ? onTop(before, value) : value });
  }
  return { kind: 'map', origin: over.origin, entries };
}
