/**
 * The codec at its published size, with random weights: one picture of 384 x 384 decoded, and with --encode encoded as well.
 *   npm run bench:codec [-- --encode]
 * Prints seconds and the most memory held on the device. Not part of the tests: a software adapter takes minutes.
 */
import { openDevice } from '../../core/gpu/device.ts';
import { publishedVqConfig } from '../../core/io/vq-config.ts';
import { vqCodec } from '../../core/nn/vq-codec.ts';
import { randomWords } from '../../core/testing.ts';
import { randomCodec } from '../../plugins/vq/source.ts';
import { vqOn } from '../support/vq.ts';

const config = publishedVqConfig({ vq_config: {}, vision_config: {} }, 'defaults');
if (config === undefined) throw new Error('the defaults are sizes');
const device = await openDevice();
const tokenizer = vqOn(() => Promise.resolve(device), randomCodec(config, 1));
const { limits, adapter } = device;
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
process.stdout.write(
  `${adapter.device}; binds ${megabytes(limits.maxStorageBufferBindingSize)}, buffers up to ${megabytes(limits.maxBufferSize)}\n`,
);
process.stdout.write(
  `${config.imageSize} x ${config.imageSize} pixels, ${(vqCodec(config).operations / 1e9).toFixed(0)} GFLOP to encode and decode\n`,
);

const codes = Array.from(randomWords((config.imageSize / 16) ** 2, 1, config.codes));
for (const pass of ['first', 'second'] as const) {
  const started = performance.now();
  const [picture] = await tokenizer.decode([codes]);
  const seconds = (performance.now() - started) / 1000;
  const values = picture?.data ?? new Uint8Array();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  process.stdout.write(
    `decode, ${pass}: ${seconds.toFixed(1)} s, ${megabytes(device.memory.peakBytes)} at most; mean of the picture ${mean.toFixed(1)}\n`,
  );
  if (picture !== undefined && pass === 'second' && process.argv.includes('--encode')) {
    const encodeStarted = performance.now();
    const [found] = await tokenizer.encode([picture]);
    process.stdout.write(
      `encode: ${((performance.now() - encodeStarted) / 1000).toFixed(1)} s, ${megabytes(device.memory.peakBytes)} at most; ${new Set(found).size} different codes\n`,
    );
  }
}
await tokenizer.close();
device.close();
