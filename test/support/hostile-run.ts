/** A run of somebody who means harm: scripts in every text, markup in pictures, texts of a mebibyte, letters that turn the writing around. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { appendStep, writeRecord, writeWatchedEvaluation, writeWatchedRun } from './watched-run.ts';

export function writeHostileRun(directory: string): void {
  const script =
    '<script>globalThis.harmed = 1</script><img src=x onerror="globalThis.harmed = 1"><svg onload="harmed = 1">';
  const bidi = '\u202egnp.exe\u2066 ';
  writeWatchedRun(directory, {
    name: script,
    prompt: `${script}${bidi}`,
    record: { adapter: { description: script }, preset: `javascript:${script}` },
  });
  writeRecord(directory, {
    name: script,
    adapter: { [script]: script },
    versions: { [script]: bidi },
    sessions: [
      {
        command: [script],
        startedAt: '2026-01-01T00:00:00.000Z',
        outcome: 'failed',
        note: script,
        error: { code: script, message: script, place: bidi, hint: script },
        warnings: [script],
      },
    ],
  });
  appendStep(directory, 4, { [script]: 1, [`${bidi}metric`]: 2, ['x'.repeat(190)]: 3 });
  appendFileSync(join(directory, 'log.txt'), `2026-01-01T00:00:03.000Z warning: ${script}${'w'.repeat(100_000)}\n`);
  writeFileSync(join(directory, 'preset.yaml'), `name: "${script}"\n${script}: 1\n`);
  const samples = join(directory, 'samples', 'step-000003');
  writeFileSync(join(samples, '1.png'), `<svg xmlns="http://www.w3.org/2000/svg">${script}</svg>`);
  const long = 'mega'.repeat(2 ** 18);
  appendFileSync(
    join(samples, 'samples.jsonl'),
    `${JSON.stringify({ prompt: `${script}${long}`, task: script, rationale: long, image: '0.png', total: 1, scores: { [script]: { value: 1, why: script + long, parts: { [script]: 1 } } }, tokens: { text: [script], logProbability: [-1], entropy: [1] } })}\n`,
  );
  writeWatchedEvaluation(directory, 'later', 5, true, script);
}
