/**
 * Python's pickle format, protocols 2 to 5, restricted: dicts, lists, tuples, numbers, strings, and what a table of ours makes
 * for the few classes and functions it lists. Every other target is refused by its name; nothing of a file is ever run.
 * https://docs.python.org/3/library/pickletools.html
 */
import { exitCodes, ReasongenError } from '../../errors.ts';
import { PickleBytes } from './pickle-bytes.ts';

/** A dict is a Map, a list an array, a tuple a frozen array. `object`: what the table or `persistent` made. */
export type Pickled = null | boolean | number | bigint | string | object;

/** What a file may name: a class, or a function that may be called. */
export interface PickleGlobal {
  /** Module and name, `torch.FloatStorage`. */
  readonly name: string;
  readonly call?: (args: readonly Pickled[]) => Pickled;
}

export interface UnpickleOptions {
  /** For messages. */
  readonly file: string;
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** The object that a persistent id stands for. */
  readonly persistent: (id: Pickled) => Pickled;
}

/** Throws REFUSED_PICKLE for a target that is not in the table, and for bytes that are no pickle. */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): Pickled {
  return new Unpickler(bytes, options).run();
}

export function refusedPickle(file: string, message: string, cause?: unknown): ReasongenError {
  return new ReasongenError({
    code: 'REFUSED_PICKLE',
    message,
    place: file,
    hint: 'use the safetensors file of this model, or one that holds tensors only (torch.save of a state_dict)',
    exitCode: exitCodes.disk,
    cause,
  });
}

/** Opcodes that would build or call what a file wishes; their names make the refusal clear. */
const refusedOpcodes: Readonly<Record<number, string>> = {
  0x69: 'INST',
  0x6f: 'OBJ',
  0x81: 'NEWOBJ',
  0x92: 'NEWOBJ_EX',
  0x82: 'EXT1',
  0x83: 'EXT2',
  0x84: 'EXT4',
  0x50: 'PERSID',
};

class Unpickler {
  private readonly bytes: PickleBytes;
  private readonly options: UnpickleOptions;
  private readonly stack: Pickled[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, Pickled>();

  constructor(bytes: Uint8Array, options: UnpickleOptions) {
    this.options = options;
    this.bytes = new PickleBytes(bytes, (what) => this.refuse(what));
  }

  run(): Pickled {
    const protocol = this.bytes.byte() === 0x80 ? this.bytes.byte() : 0;
    if (protocol < 2 || protocol > 5) throw this.refuse('it is no pickle of protocol 2 to 5');
    for (;;) {
      const opcode = this.bytes.byte();
      if (opcode === 0x2e) break;
      this.execute(opcode);
    }
    return this.pop();
  }

  private execute(opcode: number): void {
    switch (opcode) {
      case 0x28: // MARK
        this.marks.push(this.stack.length);
        return;
      case 0x30: // POP
        this.pop();
        return;
      case 0x31: // POP_MARK
        this.popMarked();
        return;
      case 0x32: // DUP
        return this.push(this.top());
      case 0x95: // FRAME
        this.bytes.skip(8);
        return;
      case 0x63: // GLOBAL
        return this.push(this.global(this.bytes.line(), this.bytes.line()));
      case 0x93: // STACK_GLOBAL
        return this.pushStackGlobal();
      case 0x52: // REDUCE
        return this.reduce();
      case 0x62: // BUILD
        return this.build();
      case 0x51: // BINPERSID
        return this.push(this.options.persistent(this.pop()));
      case 0x68: // BINGET
        return this.push(this.remembered(this.bytes.byte()));
      case 0x6a: // LONG_BINGET
        return this.push(this.remembered(this.bytes.unsigned(4)));
      case 0x71: // BINPUT
        return this.remember(this.bytes.byte());
      case 0x72: // LONG_BINPUT
        return this.remember(this.bytes.unsigned(4));
      case 0x94: // MEMOIZE
        return this.remember(this.memo.size);
      default:
        if (!this.pushValue(opcode) && !this.collect(opcode)) throw this.unknown(opcode);
    }
  }

  /** Opcodes that push a constant. */
  private pushValue(opcode: number): boolean {
    const value = this.constant(opcode);
    if (value === undefined) return false;
    this.push(value);
    return true;
  }

  private constant(opcode: number): Pickled | undefined {
    switch (opcode) {
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4b: // BININT1
        return this.bytes.byte();
      case 0x4d: // BININT2
        return this.bytes.unsigned(2);
      case 0x4a: // BININT
        return this.bytes.integer();
      case 0x8a: // LONG1
        return this.bytes.long(this.bytes.byte());
      case 0x8b: // LONG4
        return this.bytes.long(this.bytes.unsigned(4));
      case 0x47: // BINFLOAT, the one big-endian number
        return this.bytes.float();
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING
        return this.bytes.text(this.bytes.byte());
      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING
        return this.bytes.text(this.bytes.unsigned(4));
      case 0x8d: // BINUNICODE8
        return this.bytes.text(this.bytes.unsigned(8));
      case 0x5d: // EMPTY_LIST
        return [];
      case 0x29: // EMPTY_TUPLE
        return Object.freeze([]);
      case 0x7d: // EMPTY_DICT
        return new Map<Pickled, Pickled>();
      default:
        return undefined;
    }
  }

  /** Opcodes that put what lies on the stack into a list, tuple or dict. */
  private collect(opcode: number): boolean {
    switch (opcode) {
      case 0x61: // APPEND
        this.append([this.pop()]);
        return true;
      case 0x65: // APPENDS
        this.append(this.popMarked());
        return true;
      case 0x73: {
        // SETITEM
        const value = this.pop();
        this.setItems([this.pop(), value]);
        return true;
      }
      case 0x75: // SETITEMS
        this.setItems(this.popMarked());
        return true;
      case 0x6c: // LIST
        this.push(this.popMarked());
        return true;
      case 0x74: // TUPLE
        this.push(Object.freeze(this.popMarked()));
        return true;
      case 0x64: {
        // DICT
        const items = this.popMarked();
        this.push(new Map<Pickled, Pickled>());
        this.setItems(items);
        return true;
      }
      case 0x85: // TUPLE1 … TUPLE3
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: opcode - 0x84 }, () => this.pop());
        this.push(Object.freeze(items.reverse()));
        return true;
      }
      default:
        return false;
    }
  }

  private reduce(): void {
    const args = this.pop();
    const target = this.pop();
    if (!isGlobal(target)) throw this.refuse('it calls something that is no function');
    if (target.call === undefined) throw this.refuse(`it calls ${target.name}, which may only be named`);
    if (!Array.isArray(args)) throw this.refuse(`it calls ${target.name} without a tuple of arguments`);
    this.push(target.call(args as readonly Pickled[]));
  }

  /** Attributes of an OrderedDict (`_metadata` of a state_dict) are passed over; nothing else has any here. */
  private build(): void {
    const state = this.pop();
    if (!(this.top() instanceof Map && state instanceof Map))
      throw this.refuse('it sets attributes of something other than a dict');
  }

  private pushStackGlobal(): void {
    const name = this.pop();
    const module = this.pop();
    if (typeof name !== 'string' || typeof module !== 'string')
      throw this.refuse('it names a class by something other than strings');
    this.push(this.global(module, name));
  }

  private global(module: string, name: string): PickleGlobal {
    const full = `${module}.${name}`;
    const found = this.options.globals.get(full);
    if (found === undefined)
      throw this.refuse(
        `it asks for "${full.slice(0, 200)}": only tensors are read, and no code of a file is ever run`,
      );
    return found;
  }

  private append(items: readonly Pickled[]): void {
    const list = this.top();
    if (!Array.isArray(list) || Object.isFrozen(list)) throw this.refuse('it appends to something that is no list');
    for (const item of items) (list as Pickled[]).push(item);
  }

  private setItems(items: readonly Pickled[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0)
      throw this.refuse('it sets items of something that is no dict');
    for (let i = 0; i < items.length; i += 2)
      (dict as Map<Pickled, Pickled>).set(items[i] ?? null, items[i + 1] ?? null);
  }

  private remembered(key: number): Pickled {
    const value = this.memo.get(key);
    if (value === undefined) throw this.refuse(`it refers to object ${key}, which it has not made`);
    return value;
  }

  private remember(key: number): void {
    this.memo.set(key, this.top());
  }

  private push(value: Pickled): void {
    this.stack.push(value);
  }

  private top(): Pickled {
    const value = this.stack.at(-1);
    if (value === undefined || this.stack.length <= (this.marks.at(-1) ?? 0))
      throw this.refuse('its stack is empty where a value is needed');
    return value;
  }

  private pop(): Pickled {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popMarked(): Pickled[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.refuse('it has no mark where one is needed');
    return this.stack.splice(mark);
  }

  private unknown(opcode: number): ReasongenError {
    const name = refusedOpcodes[opcode];
    return this.refuse(
      name === undefined
        ? `opcode 0x${opcode.toString(16)} builds nothing that a file of tensors needs`
        : `opcode ${name} builds objects of any class, which is never done`,
    );
  }

  private refuse(what: string): ReasongenError {
    return refusedPickle(this.options.file, `the pickle in this file is not read (byte ${this.bytes.at}): ${what}`);
  }
}

function isGlobal(value: Pickled): value is PickleGlobal {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    typeof value.name === 'string' &&
    !(value instanceof Map)
  );
}
