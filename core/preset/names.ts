/** Names that a preset gives to runs and stages: they become names of files and folders. */

/** Bytes of UTF-8: file systems allow 255, and suffixes are added. */
const longestName = 200;

/** What lies in the directory of a run beside its stages. */
const takenByRuns = [
  'run.json',
  'preset.yaml',
  'metrics.ndjson',
  'log.txt',
  'report.html',
  'lock',
  'lock.takeover',
  'checkpoints',
  'samples',
  'evaluations',
  'drawings.jsonl',
  'plugins',
];

/** Why a text cannot be the name of a run; undefined when it can. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (/[/\\]/.test(name)) return 'it has a separator of paths in it';
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u.test(name))
    return 'it has a control character in it';
  if (name.startsWith('.')) return 'it begins with a dot';
  if (name.trim() !== name) return 'it begins or ends with a space';
  if (Buffer.byteLength(name) > longestName) return `it is longer than ${longestName} bytes`;
  return undefined;
}

/** Why a text cannot be the name of a stage, whose directory lies in that of the chain; undefined when it can. */
export function stageNameFault(name: string): string | undefined {
  if (takenByRuns.includes(name.toLowerCase())) return 'every run has a file or folder of that name';
  return nameFault(name);
}
