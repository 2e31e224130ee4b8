/** The nano world as a dataset: streams of examples, prompts and codec pictures. */
import type { GeneratedDataset } from '../../core/plugin.ts';
import { drawStream } from './random.ts';
import { rationaleOf, templates } from './rationale.ts';
import { canvasSize, drawDenseScene, drawScene, render } from './scene.ts';
import type { PlacedObject } from './scene.ts';
import { drawSpecification, promptOf } from './specification.ts';
import type { Specification } from './specification.ts';
import { classNames, colorNames, relations, tasks } from './vocabulary.ts';
import { worldSheet, worldSpace } from './world.ts';

/** Keeps the streams of one seed apart. */
export const purposes = { example: 1, rationale: 2, codec: 3, prompt: 4, benchmark: 5 } as const;

export function createNanoDataset(): GeneratedDataset {
  function scene(index: number, seed: number): { specification: Specification; objects: PlacedObject[] } {
    const random = drawStream(seed, purposes.example, index);
    const specification = drawSpecification(worldSpace(), 'seen', random);
    return { specification, objects: drawScene(specification, worldSheet(), random) };
  }
  function rationale(index: number, seed: number, visit: number): string {
    const { specification, objects } = scene(index, seed);
    const template = drawStream(seed, purposes.rationale, index, visit).below(templates.length);
    return rationaleOf(
      specification,
      objects.map((object) => object.cell),
      template,
    );
  }
  function picture(objects: readonly PlacedObject[]): { width: number; height: number; data: Uint8Array } {
    return { width: canvasSize, height: canvasSize, data: render(objects, worldSheet()) };
  }
  return {
    imageSize: { width: canvasSize, height: canvasSize },
    tasks,
    example(index, seed) {
      const { specification, objects } = scene(index, seed);
      const { task } = specification;
      const prompt = promptOf(specification);
      return { prompt, task, specification, rationale: rationale(index, seed, 0), image: picture(objects) };
    },
    rationale,
    codecImage: (index, seed) => picture(drawDenseScene(drawStream(seed, purposes.codec, index))),
    prompt(index, seed, split) {
      const specification = drawSpecification(worldSpace(), split, drawStream(seed, purposes.prompt, index));
      return { prompt: promptOf(specification), task: specification.task, specification };
    },
    corpus,
  };
}

/** Texts that together contain every word of every prompt and rationale. */
function corpus(): string[] {
  const cells = [0, 4, 8, 2];
  const colors = (index: number) => colorNames[index % colorNames.length] ?? 'red';
  const specifications = classNames.flatMap((name, index): Specification[] => {
    const other = classNames[(index + 1) % classNames.length] ?? name;
    const wanted = [{ name }, { name: other }];
    const colored = [
      { name, color: colors(index) },
      { name: other, color: colors(index + 1) },
    ];
    return [
      { task: 'single_object', wanted: [{ name }] },
      { task: 'two_object', wanted },
      { task: 'color_attr', wanted: colored },
      ...([2, 3, 4] as const).map((count): Specification => ({ task: 'counting', wanted: [{ name }], count })),
      ...relations.map((relation): Specification => ({ task: 'position', wanted, relation })),
    ];
  });
  return specifications.flatMap((specification) => [
    promptOf(specification),
    ...templates.map((_, template) =>
      rationaleOf(specification, cells.slice(0, specification.count ?? specification.wanted.length), template),
    ),
  ]);
}
