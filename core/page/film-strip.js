/** One held-out prompt at every time it was evaluated: how its picture changes while the run goes on. */
import { fill, h, labeled, prose } from './dom.js';
import { Questions } from './live.js';

/** @typedef {import('./answers.ts').Frame} Frame */

/** @param {HTMLElement} place @param {string} id */
export function filmStrip(place, id) {
  const frames = h('div.film', { tabIndex: 0, role: 'region', 'aria-label': 'Film strip' });
  const select = h('select', { onchange: () => void draw() });
  const box = h(
    'div.card',
    h('div.tools', h('h2.minor', 'A held-out prompt through the run'), labeled('Prompt', select)),
    frames,
  );
  const [prompted, shown] = [new Questions(), new Questions()];
  place.hidden = true;
  place.append(box);

  async function draw() {
    /** @type {Frame[]} */
    const found = await shown.ask('strip', { run: id, prompt: select.value }).catch(() => []);
    fill(
      frames,
      found.map((frame) =>
        h(
          'figure',
          { 'data-pass': String(frame.pass) },
          h('img', { src: frame.picture, alt: `${select.value}, ${frame.label}`, loading: 'lazy' }),
          h(
            'figcaption',
            h('strong', `${frame.pass ? '✓' : '✗'} ${frame.label}`),
            prose('span.why', frame.why),
            frame.rationale !== '' && prose('span.rationale', frame.rationale),
          ),
        ),
      ),
    );
  }

  return {
    async load() {
      /** @type {string[]} */
      const prompts = await prompted.ask('prompts', { run: id }).catch(() => []);
      place.hidden = prompts.length === 0;
      if (prompts.length === 0) return;
      const chosen = select.value;
      fill(
        select,
        prompts.map((prompt) => h('option', { value: prompt }, prompt)),
      );
      if (prompts.includes(chosen)) select.value = chosen;
      await draw();
    },
  };
}
