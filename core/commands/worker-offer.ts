/** What a worker of a preset does for runs. */
import type { RunContainer } from '../container.ts';
import type { AnswererIdentity, AnswerService, DrawService, WorkerOffer, WorkKind } from '../contracts/executor.ts';
import type { Preset } from '../contracts/preset.ts';
import { openDrawService } from '../drawing/service.ts';
import { answerService } from '../workers/answers.ts';
import { answererIdentity } from '../workers/identity.ts';

/** `container`: of a worker. `close` gives back what was made on the device. */
export async function openOffer(
  preset: Preset,
  container: RunContainer,
  kinds: readonly WorkKind[],
): Promise<{ readonly offer: WorkerOffer; readonly close: () => Promise<void> }> {
  const answers = (await answersOf(preset, container)).filter(({ identity: { kind } }) => kinds.includes(kind));
  const draw = kinds.includes('draw') ? await openDrawing(container) : undefined;
  return {
    offer: { answers, ...(draw !== undefined && { draw }) },
    close: async () => draw?.close(),
  };
}

async function openDrawing(container: RunContainer): Promise<DrawService & { close(): Promise<void> }> {
  const backbone = await container.get('backbone');
  const tokenizer = await container.get('tokenizer');
  return openDrawService(await container.device(), backbone, tokenizer);
}

/** What the preset leaves to workers beside drawing. */
async function answersOf(preset: Preset, container: RunContainer): Promise<AnswerService[]> {
  const services: AnswerService[] = [];
  for (const slot of ['reward', 'judge', 'benchmark'] as const satisfies readonly AnswererIdentity['slot'][]) {
    const choices = preset.components[slot] ?? [];
    for (const [index, made] of (await container.getAll(slot)).entries()) {
      const choice = choices[index];
      const isLeft = choice?.byWorkers === true || ('byWorkers' in made && made.byWorkers);
      if (choice !== undefined && isLeft) services.push(answerService(made, choice, answererIdentity(choice, preset)));
    }
  }
  return services;
}
