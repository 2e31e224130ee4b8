/** Values of tensors on their way to the device and back; f16 and bf16 travel as raw 16-bit words. */
import { elementBytes, sizeOf, type Tensor } from '../tensor/tensor.ts';

/** Writes all values of a tensor that lies in a buffer. Throws RangeError where number or type of the values is another. */
export function writeTensor(queue: GPUQueue, tensor: Tensor, data: Float32Array | Uint32Array | Uint16Array): void {
  if (data.length !== sizeOf(tensor.shape))
    throw new RangeError(`${tensor.name} [${tensor.shape}] cannot take ${data.length} values`);
  if (!('buffer' in tensor.memory)) throw new RangeError(`${tensor.name} lives in a program and cannot be written`);
  if (data.BYTES_PER_ELEMENT !== elementBytes(tensor.type))
    throw new RangeError(`${tensor.name} is ${tensor.type} and cannot take a ${data.constructor.name}`);
  const { buffer, offset } = tensor.memory;
  if (data.byteLength % 4 === 0) {
    queue.writeBuffer(buffer, offset, data);
    return;
  }
  // A queue writes whole words; a tensor has room for them.
  const words = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  words.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  queue.writeBuffer(buffer, offset, words);
}

/** The bytes of a tensor as values of its type. */
export function valuesOf({ shape, type }: Tensor, bytes: ArrayBuffer): Float32Array | Uint32Array | Uint16Array {
  const count = sizeOf(shape);
  if (type === 'f16' || type === 'bf16') return new Uint16Array(bytes, 0, count);
  return type === 'u32' ? new Uint32Array(bytes, 0, count) : new Float32Array(bytes, 0, count);
}
