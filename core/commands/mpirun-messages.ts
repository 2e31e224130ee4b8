/** What mpirun itself says, told apart from what ranks say: its messages stand between lines of dashes. */

/** The rank that was the first to end otherwise than well. */
export interface EndedRank {
  readonly rank: number;
  readonly host?: string;
  readonly signal?: string;
  readonly code?: number;
}

export interface MpirunFilter {
  push(text: string): void;
  /** Writes what is left. */
  end(): void;
  ended(): EndedRank | undefined;
}

/** Writes all but what mpirun says of a rank that has ended, and of the end of the job. */
export function mpirunFilter(write: (text: string) => void): MpirunFilter {
  let rest = '';
  let block: string[] | undefined;
  let found: EndedRank | undefined;
  const take = (line: string): void => {
    if (block === undefined && isRule(line)) block = [line];
    else if (block === undefined) write(`${line}\n`);
    else if (isRule(line)) {
      const text = block.slice(1).join('\n');
      const end = endIn(text);
      found ??= end;
      if (end === undefined && !isKnown(text)) write(`${[...block, line].join('\n')}\n`);
      block = undefined;
    } else block.push(line);
  };
  return {
    push: (text) => {
      const lines = (rest + text).split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
    },
    end: () => {
      if (rest !== '') take(rest);
      if (block !== undefined) write(`${block.join('\n')}\n`);
    },
    ended: () => found,
  };
}

function isRule(line: string): boolean {
  return /^-{50,}$/.test(line.trim());
}

/** The rank that a message of mpirun tells of. */
function endIn(text: string): EndedRank | undefined {
  const killed = /process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+)(?: \(([^)]+)\))?/.exec(text);
  if (killed !== null) {
    const [, rank, host = '', number = '', name] = killed;
    return { rank: Number(rank), host, signal: name === undefined ? number : `${number} (${name})` };
  }
  const exited = /Process name:\s*\[\[\d+,\d+\],\s*(\d+)\]\s*Exit code:\s*(\d+)/.exec(text);
  return exited === null ? undefined : { rank: Number(exited[1]), code: Number(exited[2]) };
}

function isKnown(text: string): boolean {
  return /^Primary job\s+terminated normally/.test(text.trim());
}
