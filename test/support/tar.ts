/** Tar archives by hand: every header a test wants to be wrong, odd or old. */

export interface TarEntry {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** The type flag; a file unless told. */
  readonly kind?: string;
  readonly link?: string;
  /** The size field as it stands: 12 bytes. */
  readonly sizeField?: Buffer;
  /** `ustar\0` and `00`, GNU's `ustar  \0`, or nothing. */
  readonly magic?: string;
  readonly prefix?: string;
}

/** The archive, with the zeros that end it. */
export function tarBytes(entries: readonly TarEntry[], end = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([...entries.map(entryBytes), end]);
}

export function entryBytes(entry: TarEntry): Buffer {
  const content = Buffer.from(entry.content ?? '');
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100, 'latin1');
  header.write('0000644\0', 100);
  header.write('0000000\x000000000\0', 108);
  (entry.sizeField ?? Buffer.from(`${content.length.toString(8).padStart(11, '0')}\0`)).copy(header, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(entry.kind ?? '0', 156, 1, 'latin1');
  header.write(entry.link ?? '', 157, 100, 'latin1');
  header.write(entry.magic ?? 'ustar\x0000', 257, 8, 'latin1');
  header.write(entry.prefix ?? '', 345, 155, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** The content of a pax header: each record says its own length. */
export function paxRecords(records: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`);
      let length = rest + 1;
      while (rest + String(length).length !== length) length = rest + String(length).length;
      return Buffer.from(`${length} ${key}=${value}\n`);
    }),
  );
}
