/** The variables of this process, read here and nowhere else inside of core. Who is given others, as a command or a test is, uses those. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** As it is when it is looked at: a program that embeds reasongen may set variables while it runs. */
export const processEnvironment: Environment = process.env;
