/** A VQ codec as an image tokenizer, without a run around it. */
import type { Device } from '../../core/compute.ts';
import type { ImageTokenizer } from '../../core/plugin.ts';
import type { VqSource } from '../../plugins/vq/source.ts';
import { vqTokenizer } from '../../plugins/vq/tokenizer.ts';

export function vqOn(
  openDevice: () => Promise<Device>,
  source: VqSource,
): ImageTokenizer & { readonly close: () => Promise<void> } {
  const closes: (() => unknown)[] = [];
  const tokenizer = vqTokenizer(source, (make, close) => {
    let made: ReturnType<typeof make> | undefined;
    return async () => {
      const device = await openDevice();
      if (made === undefined) closes.push(async () => made !== undefined && (await close?.(await made)));
      return await (made ??= make(device));
    };
  });
  const close = async (): Promise<void> => {
    for (const each of closes) await each();
  };
  return { ...tokenizer, close };
}
