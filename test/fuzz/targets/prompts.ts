/** Files of prompts and questions: text, JSON Lines, lists, tables; whatever the bytes, by every ending. */
import { rmSync, writeFileSync } from 'node:fs';
import { readTextRows } from '../../../core/io/text-rows.ts';
import type { FuzzTarget } from '../harness.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const target: FuzzTarget = {
  seeds: () => [
    bytesOf('a red circle\n\n  two cats\tone beside the other\r\n[a cat] in a hat\n"half a quote\ncaf\u00e9\n'),
    bytesOf(
      '{"prompt": "a cake", "tag": "counting", "include": [{"count": 2}]}\n{"prompt": "a caf\\u00e9", "question": "what?"}\n',
    ),
    bytesOf('[{"prompt": "a"}, "b", {"prompt": "c", "question": "d", "rationale": "e"}]'),
    bytesOf('item_id,prompt,question\n001,"two, birds",what?\n002,"a ""quoted"" one","a\nb"\n'),
    bytesOf('prompt\tquestion\na cat\twhich?\n'),
    new Uint8Array(Buffer.from('\uFEFFa red circle\ntwo cats\n', 'utf16le')),
    bytesOf('\uFEFF{"prompt": "a", "question": "b"}'),
  ],
  read: async (bytes, file) => {
    let failure: unknown;
    let isRead = false;
    for (const ending of ['.txt', '.jsonl', '.JSON', '.csv', '.tsv', '']) {
      const path = `${file}${ending}`;
      writeFileSync(path, bytes);
      for (const key of ['prompt', 'question'] as const) {
        try {
          refuseGarbled(await readTextRows(path, key), bytes, ending);
          isRead = true;
        } catch (error) {
          failure ??= error;
          if ((error as Error).name === 'Garbled') throw error;
        }
      }
      if (path !== file) rmSync(path);
    }
    if (!isRead) throw failure;
  },
};
export default target;

/** Nobody draws what no file says: replaced characters, NUL, JSON as a prompt. */
function refuseGarbled(rows: Awaited<ReturnType<typeof readTextRows>>, bytes: Uint8Array, ending: string): void {
  const isReplaced =
    !Buffer.from(bytes).includes('\uFFFD') && !Buffer.from(bytes).includes(Buffer.from('\uFFFD', 'utf16le'));
  // Of JSON a prompt may look like JSON.
  const holdsJson = /^\uFEFF?\s*[[{]/.test(Buffer.from(bytes.subarray(0, 64)).toString('utf8'));
  for (const { text, place } of rows) {
    const isJson = (ending === '.txt' || ending === '') && /^\s*\{/.test(text);
    const isEscape = text.includes('\uFFFD') && !Buffer.from(bytes).toString('latin1').toLowerCase().includes('fffd');
    if (text.trim() === '' || text.includes('\0') || (isReplaced && isEscape) || (isJson && !holdsJson))
      throw Object.assign(new Error(`${place}: ${JSON.stringify(text.slice(0, 80))}`), { name: 'Garbled' });
  }
}
