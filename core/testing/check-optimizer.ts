/** What an optimizer must keep: its updates are recorded once and replayed, skipped where a gradient is broken, and gone on with from a checkpoint. */
import { Tape } from '../autograd/tape.ts';
import { Workspace } from '../autograd/workspace.ts';
import type { OpenOptimizer, Optimizer } from '../contracts/optimizer.ts';
import type { Component } from '../contracts/slots.ts';
import type { Device } from '../gpu/device.ts';
import { ParameterSet } from '../weights/parameters.ts';
import { at, randomFloats } from './arrays.ts';
import { ContractError, type ContractSettings, nameOf, openComponent } from './contract.ts';

export interface OptimizerContract extends ContractSettings {
  readonly device: Device;
}

const specs = [
  { name: 'block.matrix', shape: [7, 11], init: { normal: 0.5 } },
  { name: 'block.tall', shape: [12, 5], init: { normal: 0.5 } },
  { name: 'vector', shape: [13], init: { normal: 0.5 } },
  { name: 'frozen', shape: [3, 5], init: { normal: 0.5 } },
] as const;

interface Trained {
  readonly parameters: ParameterSet;
  readonly opened: OpenOptimizer;
  /** Runs update `step` with given gradients, by name. */
  readonly update: (step: number, rate: number, gradientOf?: (name: string) => Float32Array) => Promise<void>;
  readonly weights: () => Promise<Map<string, Float32Array>>;
}

/**
 * Holds an optimizer to its contract: an update goes down, moves what is trained and nothing else, clears the gradients and reports their norm; a rate of 0
 * moves nothing, and a smaller one less; a gradient that is not finite changes nothing and is reported; a copy that gets the state goes on with the same bits.
 * @throws ContractError, with the cause
 */
export async function checkOptimizer(component: Component<'optimizer'>, contract: OptimizerContract): Promise<void> {
  const who = nameOf(component);
  const { device } = contract;
  const fill = 'learningRate' in component.options.shape ? { learningRate: 0.01 } : {};
  const { made, dispose } = await openComponent(component, { ...contract, options: { ...fill, ...contract.options } });
  if (!Number.isFinite(made.learningRate))
    throw new ContractError(who, `has the learning rate ${String(made.learningRate)}`);
  await checkUpdate(who, await open(device, made));
  await checkRate(who, device, made);
  await checkBroken(who, device, await open(device, made));
  await checkResume(who, device, made);
  await dispose();
}

async function open(device: Device, optimizer: Optimizer): Promise<Trained> {
  const parameters = new ParameterSet(device, specs, { seed: 3, trainable: (name) => name !== 'frozen' });
  const opened = optimizer.open(parameters);
  const tape = new Tape(new Workspace(device));
  opened.record(tape);
  const program = await tape.finish('update');
  return {
    parameters,
    opened,
    async update(step, rate, gradientOf = (name) => gradients(name, step)) {
      for (const { name } of specs) {
        const gradient = parameters.gradient(name);
        if (gradient !== undefined) device.write(gradient, gradientOf(name));
      }
      opened.prepare(step, rate);
      program.run();
      await device.settle();
    },
    weights: async () => new Map([...(await parameters.read())].map(([name, { data }]) => [name, data.slice()])),
  };
}

/** Of one direction in the first two steps: no momentum turns it round. */
function gradients(name: string, step: number): Float32Array {
  const size = specs.find((each) => each.name === name)?.shape.reduce((product: number, n) => product * n, 1) ?? 0;
  return randomFloats(size, name.length, 0.1).map((value) => value * (1 + 0.25 * step));
}

async function checkUpdate(who: string, { parameters, opened, update, weights }: Trained): Promise<void> {
  const { device } = parameters;
  const before = await weights();
  await update(1, 0);
  same(who, before, await weights(), 'moves weights at a learning rate of 0');
  await update(2, 0.01);
  const after = await weights();
  const [norm, applied] = await device.readFloats(opened.report);
  const squares = specs.reduce(
    (sum, { name }) =>
      sum + (name === 'frozen' ? 0 : gradients(name, 2).reduce((part, value) => part + value * value, 0)),
    0,
  );
  if (!(Math.abs(at([norm ?? Number.NaN], 0) - Math.sqrt(squares)) < 1e-3 * Math.sqrt(squares)))
    throw new ContractError(who, `reports the gradient norm ${norm}; it is ${Math.sqrt(squares).toFixed(4)}`);
  if (applied !== 1) throw new ContractError(who, `reports ${applied} for an update that should have been applied (1)`);
  for (const { name } of specs) {
    const [old, now] = [before.get(name), after.get(name)];
    if (old === undefined || now === undefined) continue;
    if (now.some((value) => !Number.isFinite(value)))
      throw new ContractError(who, `makes weights of ${name} that are not finite`);
    const moved = now.some((value, index) => value !== old[index]);
    if (moved && name === 'frozen')
      throw new ContractError(who, 'moves weights that are not trained: look at the bits of `flags`');
    if (name === 'frozen') continue;
    if (!moved) throw new ContractError(who, `does not move ${name}`);
    const along = gradients(name, 2).reduce(
      (sum, gradient, index) => sum + gradient * (at(now, index) - at(old, index)),
      0,
    );
    if (!(along < 0)) throw new ContractError(who, `moves ${name} up its gradient, not down`);
  }
  for (const [name, { data }] of await parameters.read('gradients'))
    if (data.some((value) => value !== 0))
      throw new ContractError(
        who,
        `leaves the gradient of ${name} as it was: an update clears it, for the next step adds to it`,
      );
}

/** A recipe hands each update its rate: who has one of its own ignores every schedule. */
async function checkRate(who: string, device: Device, optimizer: Optimizer): Promise<void> {
  const moved = async (rate: number): Promise<number> => {
    const { update, weights } = await open(device, optimizer);
    const before = await weights();
    await update(1, rate);
    const distances = [...(await weights())].flatMap(([name, values]) => [
      ...values.map((value, index) => Math.abs(value - (before.get(name)?.[index] ?? 0))),
    ]);
    return distances.reduce((sum, distance) => sum + distance, 0);
  };
  const [whole, half] = [await moved(0.01), await moved(0.005)];
  if (!(half < 0.9 * whole))
    throw new ContractError(
      who,
      'moves weights as far at half the learning rate: an update uses the rate that `prepare` is handed, or no schedule has an effect',
    );
}

async function checkBroken(
  who: string,
  device: Device,
  { opened, update, weights, parameters }: Trained,
): Promise<void> {
  await update(1, 0.01);
  const before = await weights();
  const state = await stateOf(device, opened);
  await update(2, 0.01, (name) => gradients(name, 2).fill(Number.NaN, 3, 4));
  same(who, before, await weights(), 'moves weights by a gradient that is not finite');
  same(who, state, await stateOf(device, opened), 'changes its state by a gradient that is not finite');
  if ((await device.readFloats(opened.report))[1] !== 0)
    throw new ContractError(who, 'reports an update with a gradient that is not finite as applied');
  for (const [name, { data }] of await parameters.read('gradients'))
    if (data.some((value) => value !== 0))
      throw new ContractError(who, `leaves a gradient that is not finite in ${name}: the next step would add to it`);
}

/** Three updates, and two with a third by another optimizer that was given weights and state. Without its momentum the last would go the other way. */
async function checkResume(who: string, device: Device, optimizer: Optimizer): Promise<void> {
  const whole = await open(device, optimizer);
  for (const step of [1, 2]) await whole.update(step, 0.01);
  const [weights, state] = [await whole.weights(), await stateOf(device, whole.opened)];
  const turned = (name: string): Float32Array => gradients(name, 3).map((value) => -0.02 * value);
  await whole.update(3, 0.01, turned);
  const resumed = await open(device, optimizer);
  for (const [name, values] of weights) device.write(resumed.parameters.get(name), values);
  for (const [name, tensor] of resumed.opened.state) {
    const values = state.get(name);
    if (values === undefined)
      throw new ContractError(who, `names its state otherwise when it is opened again: there was no "${name}"`);
    device.write(tensor, values);
  }
  await resumed.update(3, 0.01, turned);
  same(
    who,
    await whole.weights(),
    await resumed.weights(),
    'goes on otherwise from a checkpoint than without one: something it remembers is not in its `state`',
  );
}

type Values = Map<string, Float32Array | Uint32Array | Uint16Array>;

async function stateOf(device: Device, { state }: OpenOptimizer): Promise<Values> {
  const values = state.size === 0 ? [] : await device.read([...state.values()]);
  return new Map([...state.keys()].map((name, index) => [name, (values[index] ?? new Float32Array()).slice()]));
}

function same(who: string, before: Values, after: Values, what: string): void {
  for (const [name, values] of before)
    if (!Buffer.from(values.buffer).equals(Buffer.from(after.get(name)?.buffer ?? new ArrayBuffer(0))))
      throw new ContractError(who, `${what} (${name})`);
}
