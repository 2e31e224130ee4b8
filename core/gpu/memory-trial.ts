/** Bytes of memory that can be had right now, up to `wanted`: made in pieces and given back. */
export async function tryBuffers(gpu: GPUDevice, wanted: number): Promise<number> {
  const pieces: GPUBuffer[] = [];
  let had = 0;
  for (let isOut = false; had < wanted && !isOut;) {
    const size = Math.min(Math.ceil((wanted - had) / 4) * 4, 2 ** 30, gpu.limits.maxBufferSize);
    gpu.pushErrorScope('out-of-memory');
    pieces.push(gpu.createBuffer({ size, usage: GPUBufferUsage.STORAGE, label: 'trial' }));
    isOut = (await gpu.popErrorScope()) !== null;
    if (!isOut) had += size;
  }
  for (const piece of pieces) piece.destroy();
  return Math.min(had, wanted);
}
