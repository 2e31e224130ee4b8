/** A request for pictures, from what was asked to the answer. */
import { encodePng } from '../io/image.ts';
import { at } from '../tensor/at.ts';
import type { Admission } from './admission.ts';
import { together } from './chat.ts';
import type { ServedDrawings, ServedDrawing } from './drawings.ts';
import { imageSettings, type ImageRequest } from './image-request.ts';

export interface ImagesParts {
  readonly drawings: Pick<ServedDrawings, 'options' | 'size' | 'layOut' | 'draw'>;
  readonly admission: Admission;
  readonly limits: { readonly choices: number };
  readonly freshSeed: () => number;
}

/** Throws an ApiError for what cannot be drawn. */
export async function drawImages(
  request: ImageRequest,
  { drawings, admission, limits, freshSeed }: ImagesParts,
  signal: AbortSignal,
): Promise<{ readonly body: object; readonly promptTokens: number; readonly tokens: number }> {
  const settings = imageSettings(request, drawings, limits, freshSeed);
  const { prompt, count, seed, guidance, temperature } = settings;
  const laidOut = drawings.layOut(prompt, settings.rationale);
  const giveBack = admission.take(count);
  const drawn: ServedDrawing[] = [];
  const tokens = await together(count, signal, async (number, own) => {
    try {
      const drawing = await drawings.draw(laidOut, settings, number, own);
      drawn[number] = drawing;
      return drawing.tokens;
    } finally {
      giveBack();
    }
  });
  const data = await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const { image, rationale, rationaleEnded } = at(drawn, number);
      const words = {
        prompt,
        rationale,
        seed: String(seed),
        sample: String(number),
        guidance: String(guidance),
        imageTemperature: String(temperature),
      };
      const png = await encodePng(image, words);
      return { b64_json: png.toString('base64'), rationale, rationale_ended: rationaleEnded, seed, sample: number };
    }),
  );
  const promptTokens = laidOut.ids.length;
  const { width, height } = drawings.size;
  const body = {
    created: Math.floor(Date.now() / 1000),
    data,
    size: `${width}x${height}`,
    output_format: 'png',
    background: 'opaque',
    usage: {
      input_tokens: promptTokens,
      output_tokens: tokens,
      total_tokens: promptTokens + tokens,
      input_tokens_details: { text_tokens: promptTokens, image_tokens: 0 },
    },
  };
  return { body, promptTokens, tokens };
}
