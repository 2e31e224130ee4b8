/** What a run has warned of, from log.txt. */
import { text } from '../io/record-fields.ts';
import type { Warning } from '../page/answers.ts';

/** A line that warns: `2026-11-29T04:50:25.373Z warning: …`. */
export function warningOf(line: string): Warning | undefined {
  const [, time = '', said = ''] = /^(\d{4}-\S{1,40}) warning: (.*)$/s.exec(line) ?? [];
  const seconds = Date.parse(time) / 1000;
  return Number.isFinite(seconds) ? { time: seconds, text: text(said, 2000) ?? '' } : undefined;
}
