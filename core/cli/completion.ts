/** Scripts that complete commands and options in a shell, made from the declarations of the commands. */
import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;

interface Word {
  readonly word: string;
  readonly summary: string;
}

/** What may follow the name of a command, besides files. */
interface Choices extends Word {
  readonly options: readonly Word[];
  /** Names that may stand in the place of its first argument. */
  readonly names: readonly string[];
}

/** The script for a shell: `eval "$(reasongen completion bash)"`. */
export function completionScript(shell: (typeof shells)[number], commandLine: Command): string {
  const commands = commandLine.commands.map((command) => choicesOf(command, commandLine));
  const valued = commandLine.options.filter(({ required }) => required).map(({ long }) => long ?? '');
  const make = { bash: bashScript, zsh: zshScript, fish: fishScript }[shell];
  const help = {
    word: 'help',
    summary: 'show the help of a command',
    options: [],
    names: commands.map(({ word }) => word),
  };
  return make([...commands, help], valued);
}

function choicesOf(command: Command, commandLine: Command): Choices {
  const declared = [command, ...command.commands].flatMap((each) => each.options);
  const options = [...declared, ...commandLine.options.filter(({ long }) => long !== '--version')]
    .filter((option, index, all) => !option.hidden && all.findIndex(({ long }) => long === option.long) === index)
    .map(({ long, description }) => ({ word: long ?? '', summary: description }));
  const names = [...command.commands.map((each) => each.name()), ...(command.registeredArguments[0]?.argChoices ?? [])];
  return {
    word: command.name(),
    summary: command.description(),
    options: [...options, { word: '--help', summary: 'show help' }],
    names,
  };
}

/** `valued`: options before a command that are followed by a value, which is no command. */
function bashScript(commands: readonly Choices[], valued: readonly string[]): string {
  const cases = commands.map(
    ({ word, options, names }) =>
      `    ${word}) words='${[...names, ...options.map((each) => each.word)].join(' ')}' ;;\n`,
  );
  return `_reasongen() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= words word before=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      # Readline takes the sign for a word of its own.
      -*|=) before=$word ;;
      *) case $before in ${valued.join('|')}|=) before= ;; *) command=$word; break ;; esac ;;
    esac
  done
  case $command in
    '') words='${commands.map(({ word }) => word).join(' ')}' ;;
${cases.join('')}  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  local IFS=$'\\n'
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _reasongen reasongen
`;
}

function zshScript(commands: readonly Choices[], valued: readonly string[]): string {
  const described = (words: readonly Word[]): string =>
    words.map(({ word, summary }) => quoted(`${word}:${summary}`)).join(' ');
  const cases = commands.map(
    ({ word, options, names }) =>
      `    ${word}) choices=(${described([...names.map((name) => ({ word: name, summary: '' })), ...options])}) ;;\n`,
  );
  return `#compdef reasongen
_reasongen() {
  local -a choices
  local command= word before=
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ $word != -* && $before != (${valued.join('|')}) ]]; then command=$word; break; fi
    before=$word
  done
  case $command in
${cases.join('')}    *) choices=(${described(commands)}) ;;
  esac
  _describe 'reasongen' choices
  _files
}
compdef _reasongen reasongen
`;
}

function fishScript(commands: readonly Choices[]): string {
  const lines = commands.flatMap(({ word, summary, options, names }) => [
    `complete -c reasongen -n __fish_use_subcommand -a ${word} -d ${quoted(summary)}`,
    ...options.map(
      (option) =>
        `complete -c reasongen -n '__fish_seen_subcommand_from ${word}' -l ${option.word.slice(2)} -d ${quoted(option.summary)}`,
    ),
    ...(names.length > 0
      ? [`complete -c reasongen -n '__fish_seen_subcommand_from ${word}' -a ${quoted(names.join(' '))}`]
      : []),
  ]);
  return `${lines.join('\n')}\n`;
}

/** One word to every shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}
