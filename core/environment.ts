/** The variables of this process, read here and nowhere else inside of core. Who is given others, as a command or a test is, uses those. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** As it is when it is looked at: a program that embeds reasongen may set variables while it runs. */
export const processEnvironment: Environment = process.env;

/** Sets a variable while `run` goes on, for a library that reads it by itself. Calls must not overlap. */
export async function withVariable<Result>(name: string, value: string, run: () => Promise<Result>): Promise<Result> {
  const before = process.env[name];
  process.env[name] = value;
  try {
    return await run();
  } finally {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
}
