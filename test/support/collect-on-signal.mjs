/** Loaded before a program (`--expose-gc --import`): at SIGWINCH, which the program has no use for, collects its garbage and writes the bytes that are left to the file `COLLECTED`. */
import { renameSync, writeFileSync } from 'node:fs';
import process from 'node:process';

process.on('SIGWINCH', () => {
  // Finalizers of the first collection free what the second finds.
  globalThis.gc();
  setTimeout(() => {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    const file = String(process.env['COLLECTED']);
    writeFileSync(`${file}.part`, String(heapUsed + external));
    renameSync(`${file}.part`, file);
  }, 100);
});
