/** What GenEval's rules speak of: everything about them that is a word or a number. Another world is another object of this form. */
import { decodeText, exitCodes, readBounded, readTextRows, ReasongenError, z } from '../../core/plugin.ts';

const names = z.array(z.string().min(1)).min(1);

const ontologySchema = z.strictObject({
  classes: names,
  /** Classes that are never given a color. */
  uncolored: z.array(z.string()).default([]),
  /** What detectors call a class otherwise. */
  aliases: z.record(z.string(), z.string()).default({}),
  colors: names,
  /** Texts whose embeddings are averaged for a color: {} stands for the color, CLASS for the class. */
  colorTemplates: names,
  /** Detections with less are left out. */
  threshold: z.number().min(0).max(1),
  countingThreshold: z.number().min(0).max(1),
  /** Of one class, the surest. */
  mostOfAClass: z.number().int().positive(),
  /** Share of both sizes by which an offset is shrunk before it counts as a direction. */
  positionMargin: z.number().min(0),
});

export type Ontology = z.output<typeof ontologySchema>;

export const positions = ['left of', 'right of', 'above', 'below'] as const;
export type Position = (typeof positions)[number];

/** COCO's classes in the order of the published detector, three of them renamed. */
export const coco: Ontology = {
  classes: (
    'person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking meter, ' +
    'bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, ' +
    'skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, ' +
    'cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, ' +
    'potted plant, bed, dining table, toilet, tv, laptop, computer mouse, tv remote, computer keyboard, cell phone, microwave, ' +
    'oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush'
  ).split(', '),
  uncolored: ['person'],
  aliases: {
    mouse: 'computer mouse',
    remote: 'tv remote',
    keyboard: 'computer keyboard',
    aeroplane: 'airplane',
    motorbike: 'motorcycle',
    sofa: 'couch',
    pottedplant: 'potted plant',
    diningtable: 'dining table',
    tvmonitor: 'tv',
  },
  colors: ['red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown', 'black', 'white'],
  colorTemplates: ['a photo of a {} CLASS', 'a photo of a {}-colored CLASS', 'a photo of a {} object'],
  threshold: 0.3,
  countingThreshold: 0.9,
  mostOfAClass: 16,
  positionMargin: 0.1,
};

/** Throws BAD_ONTOLOGY. */
export async function readOntology(path: string): Promise<Ontology> {
  if (/\.te?xt$/i.test(path)) return readClasses(path);
  const text = decodeText(await readBounded(path, 'reading an ontology'));
  try {
    return ontologySchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ReasongenError({
      code: 'BAD_ONTOLOGY',
      message:
        cause instanceof z.ZodError
          ? `${cause.issues[0]?.path.join('.')}: ${cause.issues[0]?.message}`
          : 'this file is not JSON',
      place: path,
      hint: 'it holds classes, uncolored, colors, colorTemplates, threshold, countingThreshold, mostOfAClass and positionMargin; aliases where detectors use other names',
      exitCode: exitCodes.badPreset,
      cause,
    });
  }
}

/** A class a line; everything else as for COCO. */
async function readClasses(path: string): Promise<Ontology> {
  const classes = [...new Set((await readTextRows(path, 'prompt')).map(({ text }) => text))];
  if (classes.length > 2) return { ...coco, classes, aliases: {}, uncolored: [] };
  throw new ReasongenError({
    code: 'BAD_ONTOLOGY',
    message: `this list has ${classes.length} class(es); prompts of two different things need three at least`,
    place: path,
    hint: 'write one class a line',
    exitCode: exitCodes.badPreset,
  });
}
