/** Regular expressions of Python that stand in files of others: read as JavaScript's, and given up on when they take too long. */
import { createContext, Script } from 'node:vm';

/** Milliseconds that the matches of one file may take together. */
const longestMatching = 2000;

export class PatternError extends Error {}

/** Matches patterns of one file, all within one limit of time. Throws PatternError for what is no pattern, and when time is up. */
export class PythonPatterns {
  private readonly context = createContext({ __proto__: null });
  private readonly script = new Script('expression.test(text)');
  private readonly expressions = new Map<string, RegExp>();
  private left = longestMatching;

  /** Python's `re.fullmatch`. */
  isWhole(pattern: string, text: string): boolean {
    return this.matches(pattern, '', text);
  }

  /** Whether a module is `pattern` or ends with a dot and `pattern`, as PEFT looks up `rank_pattern` and `alpha_pattern`. */
  isEnd(pattern: string, text: string): boolean {
    return this.matches(pattern, String.raw`(?:.*\.)?`, text);
  }

  private matches(pattern: string, before: string, text: string): boolean {
    const expression = this.expressions.get(before + pattern) ?? compile(pattern, before);
    this.expressions.set(before + pattern, expression);
    this.context['expression'] = expression;
    this.context['text'] = text;
    const start = performance.now();
    try {
      // A pattern may take exponential time; V8 leaves such a match only when a script is to be ended.
      return this.script.runInContext(this.context, { timeout: Math.max(1, Math.ceil(this.left)) }) as boolean;
    } catch (cause) {
      throw new PatternError(`takes too long on "${text}"`, { cause });
    } finally {
      this.left -= performance.now() - start;
    }
  }
}

function compile(pattern: string, before: string): RegExp {
  const [, flags = '', rest = pattern] = /^\(\?([aiLmsux]+)\)([^]*)$/.exec(pattern) ?? [];
  const source = rest
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, (_, name: string) => String.raw`\k<${name}>`)
    .replaceAll(/\{,(\d+)\}/g, '{0,$1}')
    .replaceAll(String.raw`\A`, '^')
    .replaceAll(String.raw`\Z`, '$');
  // To Python a bracket right behind the opening one is a character of the class; here it would end it.
  if (/\[\^?\]/.test(rest)) throw new PatternError('begins a class with a bracket, which is not read here');
  if (/[Lxu]/.test(flags)) throw new PatternError(`has the flags ${flags}, which are not read here`);
  try {
    return new RegExp(`^${before}(?:${source})$`, flags.replaceAll(/[^ims]/g, ''));
  } catch (cause) {
    throw new PatternError('is no pattern that is read here', { cause });
  }
}
