/** What judges say of one picture of GenEval: objects from a detector, the color of those whose color matters from a classifier. */
import type { Detection, Image, JudgeWith } from '../../core/plugin.ts';
import type { Ontology } from './ontology.ts';
import type { GenevalItem } from './prompts.ts';
import { countedObjects, type Evidence, type FoundObject, type GenevalMode } from './verdict.ts';

export interface GenevalJudges {
  readonly detector: JudgeWith<'detect'>;
  readonly classifier: JudgeWith<'classify'>;
}

export async function gatherEvidence(
  image: Image,
  item: GenevalItem,
  judges: GenevalJudges,
  { ontology, mode }: { readonly ontology: Ontology; readonly mode: GenevalMode },
  signal: AbortSignal,
): Promise<Evidence> {
  const detections = new Map<FoundObject, Detection>();
  for (const detection of await judges.detector.detect(image, signal)) {
    const { label, score, box } = detection;
    const name = ontology.aliases[label.toLowerCase()] ?? label.toLowerCase();
    // What counts for no task is not worth a line of evidence.
    if (score > Math.min(ontology.threshold, ontology.countingThreshold))
      detections.set({ class: name, score, box }, detection);
  }
  const objects = [...detections.keys()].toSorted((a, b) => b.score - a.score);
  const counted = countedObjects(objects, item.tag, ontology);
  const colors: Record<string, string[]> = {};
  for (const [number, { class: name, count, color }] of item.include.entries()) {
    if (color === undefined) continue;
    const all = counted.get(name) ?? [];
    const seen: string[] = [];
    for (const object of mode === 'official' ? all.slice(0, count) : all) {
      const detection = detections.get(object);
      if (detection !== undefined)
        seen.push(await colorOf(image, detection, name, judges.classifier, ontology, signal));
    }
    colors[String(number)] = seen;
  }
  return { objects, colors };
}

async function colorOf(
  image: Image,
  detection: Detection,
  name: string,
  classifier: GenevalJudges['classifier'],
  { colors, colorTemplates }: Ontology,
  signal: AbortSignal,
): Promise<string> {
  const templates = colorTemplates.map((template) => template.replaceAll('CLASS', () => name));
  const scores = await classifier.classify(image, detection, colors, templates, signal);
  const best = scores.reduce((most, score, index) => (score > (scores[most] ?? -Infinity) ? index : most), 0);
  return colors[best] ?? '';
}
