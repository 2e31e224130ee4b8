/** A file of `torch.save` (a zip file, since PyTorch 1.6) as a source of weights. Tensors are read when they are asked for. */
import { crc32 } from 'node:zlib';
import type { WeightSource } from '../../contracts/weight-source.ts';
import { fileElementBytes } from './element-types.ts';
import { badWeights } from './errors.ts';
import { FilePieces } from './file-pieces.ts';
import { checkedRange } from './ranges.ts';
import { isContiguous, span, StridedReader } from './strided.ts';
import { torchTensors } from './torch-objects.ts';
import { readZip, type ZipEntry } from './zip.ts';

/** Bytes; it describes tensors, about 150 bytes each. */
const longestPickle = 64 * 2 ** 20;

/** Throws BAD_WEIGHTS for a damaged file, REFUSED_PICKLE for one that holds more than tensors. */
export async function openTorch(path: string): Promise<WeightSource> {
  const file = await FilePieces.open(path);
  try {
    const zip = await readZip(file);
    const { folder, pickle } = await readPickle(file, zip);
    await refuseBigEndian(file, zip.get(`${folder}byteorder`));
    const storage = (key: string): ZipEntry | undefined => zip.get(`${folder}data/${key}`);
    const tensors = torchTensors(pickle, path, (key) => storage(key)?.size);
    const entries = new Map(
      [...tensors].map(
        ([
          name,
          {
            shape,
            storage: { type },
          },
        ]) => [name, { shape, type }],
      ),
    );
    const strided = new StridedReader(file);
    return {
      origin: path,
      entries,
      metadata: {},
      async read(name, first, count) {
        const { type } = checkedRange({ entries, origin: path }, name, first, count);
        const tensor = tensors.get(name);
        const entry = tensor && storage(tensor.storage.key);
        if (tensor === undefined || entry === undefined) throw new RangeError(`${path} has no tensor "${name}"`);
        const width = fileElementBytes[type];
        if (isContiguous(tensor)) return file.read(entry.begin + (tensor.offset + first) * width, count * width);
        const { begin, elements } = span(tensor);
        return strided.read(tensor, entry.begin + begin * width, elements * width, width, first, count);
      },
      async close() {
        strided.forget();
        await file.close();
      },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readPickle(
  file: FilePieces,
  zip: ReadonlyMap<string, ZipEntry>,
): Promise<{ folder: string; pickle: Uint8Array }> {
  const found = [...zip.values()].filter(({ name }) => /^([^/]+\/)?data\.pkl$/.test(name));
  const [entry] = found;
  if (entry === undefined || found.length > 1)
    throw badWeights(
      file.path,
      'the zip file has no single data.pkl, so it is none of torch.save',
      'point to a file of weights',
    );
  const folder = entry.name.slice(0, -'data.pkl'.length);
  if (zip.has(`${folder}constants.pkl`))
    throw badWeights(
      file.path,
      'this is a TorchScript program, not a file of tensors',
      'save its state_dict with torch.save',
    );
  if (entry.size > longestPickle)
    throw badWeights(file.path, `its data.pkl has ${entry.size} bytes, more than the ${longestPickle} allowed`);
  const pickle = await file.read(entry.begin, entry.size);
  if (crc32(pickle) !== entry.crc32) throw badWeights(file.path, 'the checksum of its data.pkl is wrong');
  return { folder, pickle };
}

async function refuseBigEndian(file: FilePieces, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return;
  const order = new TextDecoder().decode(await file.read(entry.begin, Math.min(entry.size, 16)));
  if (order !== 'little')
    throw badWeights(
      file.path,
      `its numbers are stored in byte order "${order}"`,
      'save it again on a little-endian machine',
    );
}
