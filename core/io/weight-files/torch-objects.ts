/** The few classes and functions of PyTorch that a file of tensors names, and what they become here. */
import type { StoredType } from '../../contracts/weight-source.ts';
import { refusedPickle, unpickle, type PickleGlobal, type Pickled } from './pickle.ts';
import { fileElementBytes } from './element-types.ts';
import { at } from '../../tensor/at.ts';

/** A run of elements in an entry `data/KEY` of the zip file; tensors are windows on storages and may share one. */
export class TorchStorage {
  readonly key: string;
  readonly type: StoredType;
  readonly elements: number;

  constructor(key: string, type: StoredType, elements: number) {
    this.key = key;
    this.type = type;
    this.elements = elements;
  }
}

/** Element (i, j, …) lies at `offset` + i·strides[0] + j·strides[1] + … of the storage. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: TorchStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const storageTypes: Readonly<Record<string, StoredType>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

/** Tensors by name from the `data.pkl` of a file. `sizeOf`: bytes of a storage's entry, undefined when there is none. */
export function torchTensors(
  pickle: Uint8Array,
  file: string,
  sizeOf: (key: string) => number | undefined,
): Map<string, TorchTensor> {
  const refuse = (message: string): Error => refusedPickle(file, message);
  const persistent = (id: Pickled): TorchStorage => {
    const [tag, kind, key, , elements] = Array.isArray(id) && id.length === 5 ? (id as Pickled[]) : [];
    const name = typeof kind === 'object' && kind !== null && 'name' in kind ? String(kind.name) : '';
    const type = storageTypes[name];
    if (tag !== 'storage' || type === undefined || typeof key !== 'string' || !isCount(elements))
      throw refuse('a storage is not described as PyTorch does');
    const bytes = sizeOf(key);
    if (bytes !== elements * fileElementBytes[type]) {
      throw refuse(
        bytes === undefined
          ? `storage "${key}" is not in the file`
          : `storage "${key}" should hold ${elements} elements of ${type}, but has ${bytes} bytes`,
      );
    }
    return new TorchStorage(key, type, elements);
  };
  const rebuildTensor = (args: readonly Pickled[]): TorchTensor => {
    const [storage, offset, shape, strides] = args;
    if (
      !(storage instanceof TorchStorage) ||
      !isCount(offset) ||
      !isCounts(shape) ||
      !isCounts(strides) ||
      shape.length !== strides.length
    ) {
      throw refuse('a tensor is not described as PyTorch does');
    }
    const last = shape.includes(0) ? -1 : shape.reduce((sum, n, axis) => sum + (n - 1) * at(strides, axis), offset);
    if (last >= storage.elements)
      throw refuse(
        `a tensor [${shape}] with strides [${strides}] reaches element ${last} of storage "${storage.key}", which has ${storage.elements}`,
      );
    return new TorchTensor(storage, offset, shape, strides);
  };
  const globals: PickleGlobal[] = [
    ...Object.keys(storageTypes).map((name) => ({ name })),
    { name: 'torch._utils._rebuild_tensor_v2', call: rebuildTensor },
    {
      name: 'torch._utils._rebuild_parameter',
      call: ([data]) => {
        if (!(data instanceof TorchTensor)) throw refuse('a parameter is not described as PyTorch does');
        return data;
      },
    },
    { name: 'collections.OrderedDict', call: ([items]) => orderedDict(items, refuse) },
  ];
  const value = unpickle(pickle, { file, persistent, globals: new Map(globals.map((each) => [each.name, each])) });
  return namedTensors(value, refuse);
}

function orderedDict(items: Pickled | undefined, refuse: (message: string) => Error): Map<Pickled, Pickled> {
  const result = new Map<Pickled, Pickled>();
  if (items === undefined) return result;
  if (!Array.isArray(items)) throw refuse('an OrderedDict is not made from a list');
  for (const pair of items as Pickled[]) {
    if (!Array.isArray(pair) || pair.length !== 2) throw refuse('an OrderedDict is not made from pairs');
    const [key, value] = pair as [Pickled, Pickled];
    result.set(key, value);
  }
  return result;
}

/** A state_dict: names and tensors. A training checkpoint has one among other things; several are a question only the user can answer. */
function namedTensors(value: Pickled, refuse: (message: string) => Error): Map<string, TorchTensor> {
  if (!(value instanceof Map)) throw refuse('it holds no dict of tensors');
  const own = tensorsOf(value, refuse);
  if (own.size > 0) return own;
  const inner = [...value].flatMap(([key, child]) =>
    child instanceof Map && hasTensors(child) ? [{ key: String(key), child }] : [],
  );
  const [only] = inner;
  if (only === undefined) throw refuse('it holds no tensors');
  if (inner.length > 1) throw refuse(`it holds several models: ${inner.map(({ key }) => key).join(', ')}`);
  return tensorsOf(only.child, refuse);
}

function hasTensors(dict: ReadonlyMap<unknown, unknown>): boolean {
  return [...dict.values()].some((value) => value instanceof TorchTensor);
}

function tensorsOf(dict: ReadonlyMap<unknown, unknown>, refuse: (message: string) => Error): Map<string, TorchTensor> {
  const result = new Map<string, TorchTensor>();
  for (const [key, value] of dict) {
    if (!(value instanceof TorchTensor)) continue;
    if (typeof key !== 'string') throw refuse('a tensor has a name that is no string');
    result.set(key, value);
  }
  return result;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** PyTorch's own limit. */
const mostAxes = 64;

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= mostAxes && value.every(isCount);
}
