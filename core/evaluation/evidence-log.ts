/**
 * What judges said of pictures, a line each, written the moment it is known: an evaluation that was killed asks about no picture again.
 * A line holds for one picture, one prompt and the judges it came from; whatever differs is asked anew.
 */
import { createHash } from 'node:crypto';
import { JsonLines } from '../io/json-lines.ts';
import { fields, text } from '../io/record-fields.ts';

/** What evidence belongs to. */
export interface EvidenceKey {
  readonly prompt: string;
  readonly specification: unknown;
  /** sha256 of the picture. */
  readonly picture: string;
}

export class EvidenceLog {
  readonly #lines: JsonLines;
  readonly #about: string;
  readonly #known: Map<string, unknown>;

  private constructor(lines: JsonLines, about: string, known: Map<string, unknown>) {
    this.#lines = lines;
    this.#about = about;
    this.#known = known;
  }

  /** `about`: fingerprints of judges and benchmark. Lines that are no evidence are dropped. Throws what a disk does wrong. */
  static async open(path: string, about: unknown): Promise<EvidenceLog> {
    const known = new Map<string, unknown>();
    const lines = await JsonLines.open(path, 'what judges have said', (value) => {
      const entry = fields(value);
      const key = text(entry['key'], 64);
      if (key === undefined || !('evidence' in entry)) return false;
      known.set(key, entry['evidence']);
      return true;
    });
    return new EvidenceLog(lines, JSON.stringify(about), known);
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
    await this.#lines.append({ key: hash, prompt: key.prompt, picture: key.picture, evidence });
    this.#known.set(hash, evidence);
  }

  #hash({ prompt, specification, picture }: EvidenceKey): string {
    return createHash('sha256')
      .update(JSON.stringify([this.#about, prompt, specification ?? null, picture]))
      .digest('hex');
  }
}
