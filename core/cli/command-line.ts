/**
 * The commands and their options. What a command does is imported when it is chosen, so that help and version load none of it: an action
 * hands `act` the work, and the work begins with `import()`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { packageRoot } from '../setup/cache.mjs';
import type { Act } from './act.ts';
import { collect, newFolder, refuseUnexpanded } from './arguments.ts';
import { addDataCommands } from './data.ts';
import { addCompletion, addMachineCommands } from './machine.ts';
import { addModelCommands } from './models.ts';
import { addPictureCommands } from './pictures.ts';
import { addPresetCommands } from './presets.ts';
import { addRunCommands } from './runs.ts';
import { addWorkerCommands } from './workers.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly set: string[];
  readonly runDir?: string;
}

export interface CommandLineOutput {
  readonly output: { write(text: string): unknown };
  readonly errors: { write(text: string): unknown };
}

export function createCommandLine(act: Act, streams: CommandLineOutput): Command {
  const commandLine = new Command('reasongen')
    .description('Teaches image generators to think before they draw.')
    .version(version())
    .option(
      '--set <path=value>',
      'change a value of the preset, or add to a list with += (repeatable): --set recipe.steps=50',
      collect,
      [],
    )
    .option('--run-dir <directory>', 'directory of the run; runs/NAME unless given', newFolder)
    .option('--debug', 'show debug messages, and stacks with errors')
    .showHelpAfterError('(`reasongen help` lists the commands)')
    .configureHelp({ showGlobalOptions: true })
    // Thrown instead of ending the process. Commands inherit this and the streams when they are made.
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void streams.output.write(text),
      writeErr: (text) => void streams.errors.write(text),
    });
  commandLine.hook('preAction', (_line, command) => refuseUnexpanded(command));
  addRunCommands(commandLine, act);
  addPresetCommands(commandLine, act);
  addPictureCommands(commandLine, act);
  addDataCommands(commandLine, act);
  addModelCommands(commandLine, act);
  addWorkerCommands(commandLine, act);
  addMachineCommands(commandLine, act);
  addCompletion(commandLine, act);
  addExamples(commandLine);
  return commandLine;
}

const examples: Readonly<Record<string, readonly string[]>> = {
  run: ['run reasongen/nano/grpo', 'run my.yaml --run-dir runs/first --set recipe.steps=50 --set seed=2'],
  launch: ['launch --ranks 4 my.yaml --run-dir runs/first', 'launch --ranks 2 runs/first'],
  resume: ['resume runs/first'],
  evaluate: ['evaluate runs/first', 'evaluate my.yaml --weights runs/first --json'],
  runs: ['runs', 'runs runs/old --json'],
  watch: ['watch runs', 'watch runs --port 9000 --control'],
  compare: [
    'compare runs/first runs/second --html compare.html',
    'compare runs/a/evaluations/geneval.heldout.before.json runs/b --json',
  ],
  report: ['report runs/first'],
  worker: ['worker my.yaml', 'worker runs/first'],
  workers: ['workers my.yaml', 'workers runs/first --json'],
  init: ['init my-judge --model nano --yes'],
  create: ['create reward my-reward', 'create benchmark my-benchmark --no-install'],
  check: ['check my.yaml', 'check my.yaml --set recipe.groupSize=8 --json', 'check my.yaml --cluster cluster.yaml'],
  show: ['show reasongen/nano/grpo'],
  prompts: ['data prompts --objects objects.txt --seed 7 --count 1000 --out prompts.jsonl'],
  rationales: [
    'data rationales prompts.jsonl --url http://localhost:8000/v1 --model Qwen/Qwen2.5-7B-Instruct --out sft.jsonl --yes',
  ],
  leaks: ['data leaks prompts.jsonl geneval'],
  describe: ['describe', 'describe reward', 'describe recipe grpo'],
  generate: [
    'generate --preset runs/first --prompt "a red circle" --count 4',
    'generate --model hub:OWNER/NAME --prompt "a cat"',
  ],
  ask: ['ask "What is in the picture?" --image cat.png --model hub:OWNER/NAME'],
  serve: ['serve --model hub:OWNER/NAME', 'serve --model runs/first --port 9000 --set recipe.drawings=16'],
  export: ['export runs/first --out my-model'],
  pull: ['pull OWNER/NAME'],
  doctor: ['doctor', 'doctor --json'],
  setup: ['setup'],
  'verify-device': ['verify-device --only linear'],
  verify: ['checkpoint verify runs/first'],
};

function addExamples(commandLine: Command): void {
  for (const command of [...commandLine.commands, ...commandLine.commands.flatMap((each) => each.commands)]) {
    const lines = examples[command.name()]?.map((line) => `\n  npx reasongen ${line}`) ?? [];
    if (lines.length > 0)
      command.addHelpText('after', `\n${lines.length > 1 ? 'Examples' : 'Example'}:${lines.join('')}`);
  }
}

function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return manifest.version;
}
