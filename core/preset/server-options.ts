/** Options of components that call a server: where it is, and where its key comes from. */
import { shellVariable } from '../unexpanded.ts';
import { z } from './zod.ts';

const notExpanded =
  'variables are not expanded: write the address itself; on a command line, leave out the quotes so that the shell expands it';

/** To be described by who takes it. */
export const serverAddress = z
  .url({
    protocol: /^https?$/,
    error: ({ input }) => (typeof input === 'string' && shellVariable.test(input) ? notExpanded : undefined),
  })
  // A dollar sign of an address can be written %24.
  .refine((url) => !shellVariable.test(url), notExpanded)
  .refine(
    (url) => !/[?#]/.test(url) && !hasLogin(url),
    'an address without user, password, ? and #; a key goes into a variable',
  );

/** To be described, and made optional or given a default, by who takes it. */
export const keyVariableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, not a key');

/** Of judges: what `keyFor` reads. */
export const keyVariableOption = keyVariableName
  .optional()
  .describe(
    'environment variable with the key, sent as a bearer token to url over https or to this machine only; OPENAI_API_KEY for api.openai.com, none elsewhere',
  );

function hasLogin(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { username, password } = new URL(url);
  return username !== '' || password !== '';
}
