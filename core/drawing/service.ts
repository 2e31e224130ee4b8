/** A model that draws for runs on other machines: it has whatever weights it was given last. */
import { Workspace } from '../autograd/workspace.ts';
import type { Backbone } from '../contracts/backbone.ts';
import type { DrawService, DrawSizes, SequenceDrawer, WeightLayout } from '../contracts/executor.ts';
import type { Tokenizer } from '../contracts/tokenizer.ts';
import type { Device } from '../gpu/device.ts';
import { ReceivedWeights } from '../weights/exchange.ts';
import { drawIdentity } from './identity.ts';
import { openLocalDrawer } from './local.ts';

interface OpenWeights {
  readonly layout: string;
  readonly weights: ReceivedWeights;
  readonly workspace: Workspace;
  /** By sizes. */
  readonly drawers: Map<string, Promise<SequenceDrawer>>;
}

/** `close` gives back what was made on the device. */
export function openDrawService(
  device: Device,
  backbone: Backbone,
  tokenizer: Tokenizer,
): DrawService & { close(): Promise<void> } {
  let open: OpenWeights | undefined;
  const close = async (): Promise<void> => {
    if (open === undefined) return;
    const { drawers, weights, workspace } = open;
    open = undefined;
    await device.settle();
    for (const made of await Promise.allSettled(drawers.values())) if (made.status === 'fulfilled') made.value.close();
    workspace.close();
    weights.close();
  };
  const drawerOf = (sizes: DrawSizes): Promise<SequenceDrawer> => {
    if (open === undefined) throw new RangeError('this model has no weights yet');
    const { weights, workspace, drawers } = open;
    const key = JSON.stringify(sizes);
    const known = drawers.get(key);
    if (known !== undefined) return known;
    const made = openLocalDrawer({ workspace, backbone, weights, tokenizer }, sizes);
    drawers.set(key, made);
    return made;
  };
  return {
    identity: drawIdentity(device, backbone, tokenizer),
    openWeights: async (layout: WeightLayout) => {
      const text = JSON.stringify(layout);
      if (open?.layout === text) return open.weights;
      await close();
      const weights = new ReceivedWeights(device, backbone, layout);
      open = { layout: text, weights, workspace: new Workspace(device), drawers: new Map() };
      return weights;
    },
    draw: async (sizes, request) => (await drawerOf(sizes)).draw(request),
    close,
  };
}
