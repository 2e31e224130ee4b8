/** The values that opcodes of a pickle carry, one after the other. */
const longestNumber = 64;

export class PickleBytes {
  /** Bytes taken so far. */
  at = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly refuse: (what: string) => Error;

  /** `refuse` makes the error for what cannot be read. */
  constructor(bytes: Uint8Array, refuse: (what: string) => Error) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.refuse = refuse;
  }

  byte(): number {
    return this.view.getUint8(this.take(1));
  }

  unsigned(bytes: 2 | 4 | 8): number {
    const at = this.take(bytes);
    if (bytes === 8) return Number(this.view.getBigUint64(at, true));
    return bytes === 2 ? this.view.getUint16(at, true) : this.view.getUint32(at, true);
  }

  /** Four bytes with a sign. */
  integer(): number {
    return this.view.getInt32(this.take(4), true);
  }

  /** Eight bytes; the one value of a pickle that is big-endian. */
  float(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  /** Two's complement, little-endian, of any length. */
  long(bytes: number): number | bigint {
    if (bytes > longestNumber) throw this.refuse(`it has a number of ${bytes} bytes`);
    const at = this.take(bytes);
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i] ?? 0);
    const signed = BigInt.asIntN(bytes * 8, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  text(bytes: number): string {
    const at = this.take(bytes);
    return new TextDecoder().decode(this.bytes.subarray(at, at + bytes));
  }

  /** Up to a newline, which is taken as well. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.refuse('it ends within a name');
    return this.text(end + 1 - this.at).slice(0, -1);
  }

  skip(bytes: number): void {
    this.take(bytes);
  }

  /** Moves on; returns where the bytes begin. */
  private take(bytes: number): number {
    const begin = this.at;
    if (!(bytes >= 0 && begin + bytes <= this.bytes.length)) throw this.refuse('it ends within a value');
    this.at += bytes;
    return begin;
  }
}
