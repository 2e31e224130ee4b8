/**
 * What judges said of pictures, a line each, written the moment it is known: an evaluation that was killed asks about no picture again.
 * A line holds for one picture, one prompt and the judges it came from; whatever differs is asked anew.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { diskError, disk, hasCode, replaceFile } from '../io/disk.ts';
import { appendFile } from '../io/files.ts';
import { readFile } from 'node:fs/promises';

/** What evidence belongs to. */
export interface EvidenceKey {
  readonly prompt: string;
  readonly specification: unknown;
  /** sha256 of the picture. */
  readonly picture: string;
}

export class EvidenceLog {
  readonly #path: string;
  readonly #about: string;
  readonly #known: Map<string, unknown>;
  /** Lines are written one after the other. */
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, about: string, known: Map<string, unknown>) {
    this.#path = path;
    this.#about = about;
    this.#known = known;
  }

  /** `about`: fingerprints of judges and benchmark. Lines that were cut off are dropped. Throws what a disk does wrong. */
  static async open(path: string, about: unknown): Promise<EvidenceLog> {
    const known = new Map<string, unknown>();
    try {
      await disk.mkdir(dirname(path), { recursive: true });
      const text = await readFile(path, 'utf8').catch((cause: unknown) => {
        if (hasCode(cause, 'ENOENT')) return '';
        throw cause;
      });
      const lines = text.split('\n').filter((line) => line !== '');
      const whole = lines.filter((line) => {
        const entry = parse(line);
        if (entry !== undefined) known.set(entry.key, entry.evidence);
        return entry !== undefined;
      });
      if (whole.length < lines.length || (text !== '' && !text.endsWith('\n')))
        await replaceFile(path, whole.map((line) => `${line}\n`).join(''));
    } catch (cause) {
      throw diskError(cause, 'opening what judges have said', path);
    }
    return new EvidenceLog(path, JSON.stringify(about), known);
  }

  get count(): number {
    return this.#known.size;
  }

  has(key: EvidenceKey): boolean {
    return this.#known.has(this.#hash(key));
  }

  get(key: EvidenceKey): unknown {
    return this.#known.get(this.#hash(key));
  }

  async add(key: EvidenceKey, evidence: unknown): Promise<void> {
    const hash = this.#hash(key);
    const line = `${JSON.stringify({ key: hash, prompt: key.prompt, picture: key.picture, evidence })}\n`;
    this.#last = this.#last.then(() =>
      appendFile(this.#path, line).catch((cause: unknown) => {
        throw diskError(cause, 'writing down what a judge has said', this.#path);
      }),
    );
    await this.#last;
    this.#known.set(hash, evidence);
  }

  #hash({ prompt, specification, picture }: EvidenceKey): string {
    return createHash('sha256')
      .update(JSON.stringify([this.#about, prompt, specification ?? null, picture]))
      .digest('hex');
  }
}

function parse(line: string): { readonly key: string; readonly evidence: unknown } | undefined {
  try {
    const entry = JSON.parse(line) as { readonly key?: unknown; readonly evidence?: unknown };
    return typeof entry?.key === 'string' && 'evidence' in entry
      ? { key: entry.key, evidence: entry.evidence }
      : undefined;
  } catch (error) {
    // The line that was being written when the run was killed.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
