/** PyTorch on the processor, where the machine has it: `pytorch.py` in a process of its own, spoken to in JSON lines. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { checkedSteps } from '../workloads.mjs';

export async function open() {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'pytorch.py');
  const child = spawn('python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  /** @type {((answer: any) => void)[]} */ const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line)));
  child.on('close', () => {
    for (const answer of waiting.splice(0)) answer({ error: 'python ended' });
  });
  const ask = async (/** @type {unknown} */ request) => {
    const answer = new Promise((resolve) => waiting.push(resolve));
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const result = await answer;
    if (result.error !== undefined) throw new Error(result.error);
    return result;
  };
  process.on('exit', () => child.kill());
  const results = join(mkdtempSync(join(tmpdir(), 'peers-')), 'result.f32');
  return {
    /** @param {import('../workloads.mjs').Workload} work */
    async prepare(work) {
      await ask({ prepare: work });
      return {
        /** @param {number} times @returns {Promise<number>} CPU milliseconds of the other process */
        run: async (times) => (await ask({ run: times })).cpuMilliseconds,
        check: async () => {
          await ask({ check: results, steps: checkedSteps });
          const bytes = readFileSync(results);
          return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        },
      };
    },
  };
}
