/** A VQ codec as an image tokenizer, without a run around it. */
import type { Device } from '../../core/compute.ts';
import type { ImageTokenizer, Precision, Scope } from '../../core/plugin.ts';
import { silentLog } from '../../core/log.ts';
import type { VqSource } from '../../plugins/vq/source.ts';
import { vqTokenizer } from '../../plugins/vq/tokenizer.ts';

export function vqOn(
  openDevice: () => Promise<Device>,
  source: VqSource,
  precision: Precision = 'f32',
): ImageTokenizer & { readonly close: () => Promise<void> } {
  const closes: (() => unknown)[] = [];
  const onDevice: Scope['onDevice'] = (make, close) => {
    let made: ReturnType<typeof make> | undefined;
    return async () => {
      const device = await openDevice();
      if (made === undefined) closes.push(async () => made !== undefined && (await close?.(await made)));
      return await (made ??= make(device));
    };
  };
  const tokenizer = vqTokenizer(source, precision, { onDevice, log: silentLog() });
  const close = async (): Promise<void> => {
    for (const each of closes) await each();
  };
  return { ...tokenizer, close };
}
