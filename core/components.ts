import { missingComponent, type RunContainer } from './container.ts';
import type { Executor } from './contracts/executor.ts';
import { single as alone } from './ranks/single.ts';
import type { Preset } from './contracts/preset.ts';
import type { NamedReward, RunComponents } from './contracts/recipe.ts';

const single = ['dataset', 'tokenizer', 'imageTokenizer', 'backbone', 'optimizer'] as const;
type Single = (typeof single)[number];

/** Drawings are computed on the device of the run, by its own process. */
export const inProcess: Executor = { open: ({ local }) => local };

/** Creates the components a preset names, one after the other, and nothing else. */
export async function buildComponents(container: RunContainer, preset: Preset): Promise<RunComponents> {
  const built: Partial<Pick<RunComponents, Single>> = {};
  for (const slot of single) {
    if (namesIn(preset, slot).length > 0) Object.assign(built, { [slot]: await container.get(slot) });
  }
  const rewards = (await container.getAll('reward')).map((reward, index): NamedReward => {
    const choice = namesIn(preset, 'reward')[index];
    const { name = '', weight = 1, onError } = choice ?? {};
    const said = (['retries', 'onNoVerdict', 'gate', 'heldOut', 'schedule', 'plugin'] as const).filter(
      (key) => choice?.[key] !== undefined,
    );
    return {
      name,
      weight,
      reward,
      ...(onError !== undefined && onError !== 'warn' && { onError }),
      ...Object.fromEntries(said.map((key) => [key, choice?.[key]])),
    };
  });
  const benchmarks = (await container.getAll('benchmark')).map((benchmark, index) => {
    const { name = '' } = namesIn(preset, 'benchmark')[index] ?? {};
    return { name, benchmark };
  });
  const judges = await container.getAll('judge');
  const [communicator = alone] = await container.getAll('communicator');
  const [executor = inProcess] = await container.getAll('executor');
  const demand = <Slot extends Single>(slot: Slot): RunComponents[Slot] => {
    const component = built[slot];
    if (component === undefined) throw missingComponent(slot, 'the recipe');
    return component;
  };
  return {
    get dataset() {
      return demand('dataset');
    },
    get tokenizer() {
      return demand('tokenizer');
    },
    get imageTokenizer() {
      return demand('imageTokenizer');
    },
    get backbone() {
      return demand('backbone');
    },
    get optimizer() {
      return demand('optimizer');
    },
    judges,
    rewards,
    benchmarks,
    executor,
    communicator,
    has: (slot) => built[slot] !== undefined,
  };
}

/** Components or a context with more beside them, or other fields instead. A spread would call the getters, which throw for what is not named. */
export function withFields<Base extends RunComponents, Fields extends object>(
  base: Base,
  fields: Fields,
): Omit<Base, keyof Fields> & Fields {
  return Object.freeze(
    Object.defineProperties(
      {},
      { ...Object.getOwnPropertyDescriptors(base), ...Object.getOwnPropertyDescriptors(fields) },
    ),
  ) as Omit<Base, keyof Fields> & Fields;
}

function namesIn(preset: Preset, slot: string): Preset['components'][string] {
  return preset.components[slot] ?? [];
}
