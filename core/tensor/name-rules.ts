/**
 * Tensor names of one layout of checkpoints and their counterparts in another, as a table that works in both directions.
 * In a pattern `#` stands for a number and `*`, at the end only, for the rest of a name.
 */
export interface NameRule {
  readonly original: string;
  /**
   * Several names: the rows of the original are divided equally among them, in this order. None: the port has no such tensor, and
   * nothing needs it.
   */
  readonly port: string | readonly string[];
  /** The original has a leading axis of length 1 that the port has not. */
  readonly leadingAxis?: true;
}

/** What an original tensor becomes. */
export interface PortNames {
  readonly rule: NameRule;
  readonly names: readonly string[];
}

/** Where a tensor of the port lies in an original one: share `index` of `of` of its rows. */
export interface OriginalName {
  readonly rule: NameRule;
  readonly name: string;
  readonly index: number;
  readonly of: number;
}

export interface NameTable {
  /** Undefined when no rule knows the name. */
  toPort(original: string): PortNames | undefined;
  toOriginal(port: string): OriginalName | undefined;
}

/** Rules are tried in order. */
export function nameTable(rules: readonly NameRule[]): NameTable {
  const table = rules.map((rule) => {
    const port = typeof rule.port === 'string' ? [rule.port] : rule.port;
    return {
      rule,
      original: matcher(rule.original),
      port: port.map((pattern) => ({ pattern, match: matcher(pattern) })),
    };
  });
  return {
    toPort(original) {
      for (const { rule, original: match, port } of table) {
        const parts = match(original);
        if (parts !== undefined) return { rule, names: port.map(({ pattern }) => fill(pattern, parts)) };
      }
      return undefined;
    },
    toOriginal(name) {
      for (const { rule, port } of table) {
        for (const [index, { match }] of port.entries()) {
          const parts = match(name);
          if (parts !== undefined) return { rule, name: fill(rule.original, parts), index, of: port.length };
        }
      }
      return undefined;
    },
  };
}

/** What the wildcards of a pattern stand for in a name, in order; undefined when it does not fit. */
function matcher(pattern: string): (name: string) => readonly string[] | undefined {
  const source = pattern
    .replace(/[.\\+?^$()[\]{}|]/g, String.raw`\$&`)
    .replaceAll('#', String.raw`(\d+)`)
    .replace(/\*$/, '(.+)');
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.exec(name)?.slice(1);
}

function fill(pattern: string, parts: readonly string[]): string {
  let next = 0;
  return pattern.replace(/[#*]/g, () => parts[next++] ?? '');
}
