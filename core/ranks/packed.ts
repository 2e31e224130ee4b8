/** Plain values with lists of numbers in them as bytes, for ranks to give each other: what JSON would write as digits stays as it is. */
import type { Communicator } from '../contracts/communicator.ts';

type Numbers = Float32Array | Uint8Array;

/** Stands in the JSON for the list of that number. */
interface Place {
  readonly $list: number;
}

/** `[bytes of the JSON, the JSON, the lists one behind the other]`; each list begins at a multiple of four. */
export function packed(value: unknown): Uint8Array {
  const lists: Numbers[] = [];
  const text = JSON.stringify({ value: withPlaces(value, lists), lists: lists.map(describe) });
  const json = new TextEncoder().encode(text);
  const head = aligned(4 + json.length);
  const bytes = new Uint8Array(lists.reduce((sum, { byteLength }) => sum + aligned(byteLength), head));
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 4);
  let at = head;
  for (const list of lists) {
    bytes.set(new Uint8Array(list.buffer, list.byteOffset, list.byteLength), at);
    at += aligned(list.byteLength);
  }
  return bytes;
}

/** What `packed` was given. Lists of numbers are views of `bytes`. */
export function unpacked(bytes: Uint8Array): unknown {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const { value, lists } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as {
    readonly value: unknown;
    readonly lists: readonly ReturnType<typeof describe>[];
  };
  let at = aligned(4 + length);
  const found = lists.map(({ type, count }): Numbers => {
    const start = bytes.byteOffset + at;
    const list =
      type === 'f32' ? new Float32Array(bytes.buffer, start, count) : new Uint8Array(bytes.buffer, start, count);
    at += aligned(list.byteLength);
    return list;
  });
  return withLists(value, found);
}

/** What every rank has, in the order of ranks. Values are plain but for lists of f32 or bytes. */
export async function gatherPacked<Value>(communicator: Communicator, value: Value): Promise<Value[]> {
  if (communicator.size === 1) return [value];
  return (await communicator.allGather(packed(value))).map((bytes) => unpacked(bytes) as Value);
}

function describe(list: Numbers): { readonly type: 'f32' | 'u8'; readonly count: number } {
  return { type: list instanceof Float32Array ? 'f32' : 'u8', count: list.length };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function withPlaces(value: unknown, lists: Numbers[]): unknown {
  if (value instanceof Float32Array || value instanceof Uint8Array)
    return { $list: lists.push(value) - 1 } satisfies Place;
  if (Array.isArray(value)) return value.map((each) => withPlaces(each, lists));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withPlaces(each, lists)]));
}

function withLists(value: unknown, lists: readonly Numbers[]): unknown {
  if (Array.isArray(value)) return value.map((each) => withLists(each, lists));
  if (typeof value !== 'object' || value === null) return value;
  if ('$list' in value && typeof value.$list === 'number') return lists[value.$list];
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withLists(each, lists)]));
}
