import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { packagesMissing } from './failure.mjs';
import { cardOfRank } from './cards.mjs';
import { ignoresHangUps, watchStarters } from './starter.mjs';
import { requireResultFolder } from './writable.mjs';

/** Commands that use the device: they run in a child with the driver's environment, whose crash is explained. */
export const deviceCommands = [
  'run',
  'resume',
  'replay',
  'generate',
  'ask',
  'serve',
  'worker',
  'evaluate',
  'verify-device',
  'check',
  'doctor',
];

/**
 * What to do when one of them was killed; the others are runs, which are resumed.
 * @type {Readonly<Record<string, string>>}
 */
const goingOn = {
  generate: 'the same command goes on behind the pictures that are whole',
  ...Object.fromEntries(
    ['ask', 'serve', 'worker', 'verify-device', 'check', 'doctor'].map((command) => [command, 'try it again']),
  ),
};

/** Options before a command that are followed by a value. */
const valued = ['--set', '--run-dir'];

/** Whether this is a clone, whose TypeScript needs a loader. The package holds JavaScript. */
const isClone = existsSync(new URL('../cli.ts', import.meta.url));
const cli = new URL(isClone ? '../cli.ts' : '../cli.js', import.meta.url);

/**
 * Runs the program with the arguments of its command line: in this process, or in the environment of the best Vulkan driver.
 * @param {string[]} args @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean }} options
 * @returns {Promise<number>} the exit code
 * @throws {import('./failure.mjs').SetupError} when packages are missing or no driver can be had
 */
export async function reasongen(
  args,
  { env = process.env, quiet = env.REASONGEN_QUIET === '1' || isFollower(env) } = {},
) {
  const command = commandOf(args);
  const isNohup = ignoresHangUps(env);
  if (isNohup) process.on('SIGHUP', () => {});
  else watchStarters({ onGone: endWithThem, onInterrupt: () => process.kill(process.pid, 'SIGINT') });
  const ownEnv = isNohup ? { ...env, REASONGEN_NOHUP: '1' } : env;
  return deviceCommands.includes(command) ? supervise(command, args, ownEnv, quiet) : runHere(args);
}

/** One of several processes of MPI, and not the first: that one speaks for all. @param {NodeJS.ProcessEnv} env */
function isFollower(env) {
  return Number(env.OMPI_COMM_WORLD_RANK ?? env.PMIX_RANK ?? 0) > 0;
}

/** To whoever started the program through npx, the end of npx is the end of the program. */
function endWithThem() {
  process.stderr.write('npm, or the shell between it and this program, was ended\n');
  process.kill(process.pid, 'SIGHUP');
}

/** The command of a command line; '' where there is none, or where help or the version is asked for. @param {string[]} args */
export function commandOf(args) {
  if (args.some((arg) => ['--help', '-h', '--version', '-V'].includes(arg))) return '';
  return args.find((arg, index) => !arg.startsWith('-') && !valued.includes(args[index - 1] ?? '')) ?? '';
}

/** @param {string[]} args @returns {Promise<number>} */
async function runHere(args) {
  if (isClone) {
    loader(); // names what is missing
    const { register } = await import('tsx/esm/api');
    register({ tsconfig: tsconfig() });
  }
  const { runProgram } = await import(cli.href);
  return runProgram(args);
}

/** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} env @param {boolean} quiet */
async function supervise(command, args, env, quiet) {
  const [{ environmentFor }, { launch }] = await Promise.all([import('./environment.mjs'), import('./launch.mjs')]);
  requireResultFolder(command, args);
  const imports = [...(isClone ? [loader()] : []), new URL('supervised.mjs', import.meta.url).href];
  const { variables: card, told } = cardOfRank({ env });
  if (told !== undefined && !quiet) process.stderr.write(`warning: ${told}\n`);
  const variables = { ...(await environmentFor(command, { ...env, ...card }, quiet)), ...card };
  return launch(process.execPath, [...imports.flatMap((module) => ['--import', module]), fileURLToPath(cli), ...args], {
    env: { ...env, ...(isClone ? { TSX_TSCONFIG_PATH: tsconfig() } : {}), ...variables },
    isOwn: true,
    goOn: goingOn[command],
  });
}

function tsconfig() {
  return fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
}

/** The module that lets node load TypeScript. @throws {import('./failure.mjs').SetupError} when packages are missing */
function loader() {
  try {
    return import.meta.resolve('tsx');
  } catch {
    throw packagesMissing();
  }
}
