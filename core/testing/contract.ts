/** What the contract checks of all slots share: a component is opened as a run opens it, on a scope of stand-ins, and a breach says what was expected. */
import { refuseIncomplete } from '../component-shape.ts';
import type { RunningModel } from '../contracts/running-model.ts';
import type { Component, Plugin, Scope, Slot, Slots } from '../contracts/slots.ts';
import type { Device } from '../gpu/device.ts';
import { PolicedCalls } from '../judging/calls.ts';
import { silentLog } from '../log.ts';
import { z } from '../preset/zod.ts';
import { openPublished } from '../published-model.ts';
import { standInImageTokenizer, standInTokenizer } from './stand-ins.ts';

/** What a contract check may be told beside the component. */
export interface ContractSettings {
  /** Options as a preset gives them; the declared defaults for the rest. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** What fills other slots where the component asks for them; small stand-ins for the tokenizers unless given. */
  readonly others?: { readonly [Name in Slot]?: Slots[Name] };
  /** Where the component asks for a device; without it, one that asks fails the check. */
  readonly device?: Device;
  /** Where the component looks with the model of the run; without it, one that asks for it fails the check. */
  readonly model?: RunningModel;
  /** What opens published models where the component asks for one. */
  readonly plugins?: readonly Plugin[];
  readonly seed?: number;
}

/** A component of one slot, made, with what ends it. */
export interface Opened<Name extends Slot> {
  readonly made: Slots[Name];
  readonly dispose: () => Promise<void>;
}

/** Why a component does not keep its contract. */
export class ContractError extends Error {
  constructor(who: string, what: string) {
    super(`${who} ${what}`);
    this.name = 'ContractError';
  }
}

/** `reward "warmth"` */
export function nameOf({ slot, name }: Component): string {
  return `${slot} "${name}"`;
}

/** Checks the declaration and creates the component. */
export async function openComponent<Name extends Slot>(
  component: Component<Name>,
  { options = {}, others = {}, device, model, plugins = [], seed = 1 }: ContractSettings = {},
): Promise<Opened<Name>> {
  checkDeclaration(component);
  const who = nameOf(component);
  const parsed = component.options.safeParse(options);
  if (!parsed.success)
    throw new ContractError(who, `does not take the options of this check: ${z.prettifyError(parsed.error)}`);
  const disposals: (() => void | Promise<void>)[] = [];
  const filled: Partial<Record<string, unknown>> = {
    tokenizer: standInTokenizer(),
    imageTokenizer: standInImageTokenizer(),
    ...others,
  };
  const get = async <Other extends Slot>(slot: Other): Promise<Slots[Other]> => {
    if (!component.needs.includes(slot))
      throw new ContractError(
        who,
        `asks for the slot ${slot} and does not list it in \`needs\`, so that \`check\` cannot miss it`,
      );
    const found = filled[slot];
    if (found === undefined)
      throw new ContractError(who, `asks for the slot ${slot}: give the check \`others: { ${slot}: … }\``);
    return found as Slots[Other];
  };
  const own: Omit<Scope, 'published'> = {
    log: silentLog(),
    seed,
    calls: new PolicedCalls({ settings: {}, who, component: component.name, folder: undefined, log: silentLog() }),
    path: (relative) => relative,
    onDispose: (dispose) => void disposals.push(dispose),
    model: async () => {
      if (model === undefined) throw new ContractError(who, 'asks for the model of the run: give the check `model: …`');
      return model;
    },
    get,
    getAll: async (slot) => (filled[slot] === undefined ? [] : [filled[slot] as Slots[typeof slot]]),
    onDevice: <Made>(make: (on: Device) => Made | Promise<Made>, close?: (made: Made) => void | Promise<void>) => {
      let made: Promise<Made> | undefined;
      const makeOn = async (): Promise<Made> => {
        if (device === undefined)
          throw new ContractError(who, 'asks for a device: give the check `device: await openTestDevice()`');
        const result = await make(device);
        disposals.push(() => close?.(result));
        return result;
      };
      return () => (made ??= makeOn());
    },
  };
  const scope: Scope = {
    ...own,
    published: (folder, backboneOptions = {}) => openPublished(folder, backboneOptions, plugins, own),
  };
  const made = await component.create(parsed.data, scope);
  if (typeof made !== 'object' || made === null)
    throw new ContractError(who, `creates ${String(made)}: \`create\` returns what fills the slot`);
  refuseIncomplete(made, component.slot, who);
  return {
    made,
    dispose: async () => {
      for (const dispose of disposals.reverse()) await dispose();
    },
  };
}

/** What `describe`, `check` and editors read. */
function checkDeclaration(component: Component): void {
  const who = nameOf(component);
  const { name, summary, options } = component;
  if (!/^[a-z0-9][a-z0-9-]*$/.test(name))
    throw new ContractError(who, 'needs a name of small letters, digits and hyphens');
  if (summary.trim() === '' || summary.includes('\n'))
    throw new ContractError(who, 'needs a summary of one line, which `describe` shows');
  if (!options.safeParse({ 'no such option': 1 }).error?.issues.some(({ code }) => code === 'unrecognized_keys'))
    throw new ContractError(who, 'takes options that it does not know: make them with z.strictObject');
  const { properties = {} } = z.toJSONSchema(options, { unrepresentable: 'any', io: 'input' });
  const silent = Object.entries(properties).find(([, option]) => typeof option === 'object' && !option.description);
  if (silent !== undefined)
    throw new ContractError(who, `does not say what its option \`${silent[0]}\` means: add .describe('…')`);
}

/** Settles as `work` does, or breaks the contract after so many milliseconds. */
export async function within<Value>(milliseconds: number, work: Promise<Value>, late: () => Error): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(late()), milliseconds);
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** A value as a message shows it. */
export function written(value: unknown): string {
  return typeof value === 'number' || value === undefined ? String(value) : (JSON.stringify(value) ?? typeof value);
}

/** Done when `work` has ended, however that was. */
export async function settled(work: () => Promise<unknown>): Promise<void> {
  await Promise.allSettled([work()]);
}
