import { StringDecoder } from 'node:string_decoder';

/** Lines that Vulkan drivers and Dawn print on every start and that tell a user nothing. */
const chatter = [
  /artificially reduced/i,
  /not a conformant/i,
  /^MESA(-[A-Z]+)?: (warning|info|debug)/,
  /^WARNING: (lavapipe|dzn|radv|NVK|v3dv|panvk)/i,
  /^Warning: (loader_|terminator_|Couldn't load Vulkan)/,
  /^ +at operator\(\) \(.*dawn/,
];

/** Whether a line (without its end) is driver chatter. @param {string} line */
export function isChatter(line) {
  return chatter.some((pattern) => pattern.test(line));
}

/**
 * Passes text on as it comes and drops chatter lines. Only a start of a line that may still become chatter is held back, for `patience`
 * milliseconds at most, so that progress bars and prompts without an end of line appear at once.
 * @param {(text: string) => void} write @param {{ patience?: number }} options
 */
export function chatterFilter(write, { patience = 20 } = {}) {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let midLine = false; // the start of the current line is out already
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const flush = () => {
    clearTimeout(timer);
    if (rest) {
      write(rest);
      midLine = true;
    }
    rest = '';
  };
  return {
    /** @param {Buffer} chunk */
    push(chunk) {
      clearTimeout(timer);
      rest += decoder.write(chunk);
      let out = '';
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end + 1);
        rest = rest.slice(end + 1);
        if (midLine || !isChatter(line.replace(/\r?\n$/, ''))) out += line;
        midLine = false;
      }
      if (out) write(out);
      if (rest.includes('\r') || rest.includes('\u001b') || midLine) flush();
      else if (rest) timer = setTimeout(flush, patience);
    },
    end() {
      rest += decoder.end();
      flush();
    },
  };
}
