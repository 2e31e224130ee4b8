/** Command lines in this process. */
import { main } from '../../core/cli.ts';

export interface CommandEnd {
  /** Null where a signal has ended the process. */
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** As the program answers it. */
export async function commandLine(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<CommandEnd> {
  let [output, errors] = ['', ''];
  const code = await main(args, {
    output: { write: (text) => void (output += text) },
    errors: { write: (text: string) => ((errors += text), true) },
    environment,
  });
  return { code, output, errors };
}
