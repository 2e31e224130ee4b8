/** Problems as they are reported: each once, in the order of the text. */
import type { PresetError } from '../errors.ts';

/** By file, in the order in which the files first appear, then by line and column; a base that two stages share reports its mistakes once. */
export function reported(problems: readonly PresetError[]): PresetError[] {
  return inOrder(unique(problems));
}

function unique(problems: readonly PresetError[]): PresetError[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const key = `${problem.code} ${problem.place} ${problem.message}`;
    return !seen.has(key) && seen.add(key);
  });
}

function inOrder(problems: readonly PresetError[]): PresetError[] {
  const files: string[] = [];
  const keyed = problems.map((problem) => {
    const [, file = problem.place ?? '', line = '0', column = '0'] =
      /^(.*):(\d+):(\d+)$/.exec(problem.place ?? '') ?? [];
    if (!files.includes(file)) files.push(file);
    return { problem, position: [files.indexOf(file), Number(line), Number(column)] as const };
  });
  keyed.sort(({ position: a }, { position: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return keyed.map(({ problem }) => problem);
}
