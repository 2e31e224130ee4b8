/** Prompts for the newest weights of a run that goes on: it draws them between two steps. */
import { fill, h, messageOf } from './dom.js';
import { Questions, tell } from './live.js';
import { sampleCard } from './sample-card.js';

/** @typedef {import('./run-view.js').TabContext} TabContext */

/** @param {TabContext} context */
export function playgroundTab({ id, place, context }) {
  const prompts = h('textarea', {
    rows: 3,
    placeholder: 'a photo of a red bird\none prompt a line, up to 8',
    'aria-label': 'Prompts, one a line',
  });
  const told = h('p.quiet', { role: 'status' });
  const drawings = h('div');
  const questions = new Questions();
  /** The newest drawing, which changes with every request. @type {string | undefined} */
  let newest;
  fill(
    place,
    h(
      'form.card.playground',
      {
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          void draw();
        },
      },
      prompts,
      h('button', { type: 'submit' }, 'Draw with the newest weights'),
      told,
    ),
    drawings,
  );

  async function draw() {
    const lines = prompts.value
      .split('\n')
      .map((/** @type {string} */ line) => line.trim())
      .filter(Boolean);
    try {
      await tell(id, { kind: 'draw', prompts: lines });
      told.textContent = 'Asked: the run draws when its step has ended.';
    } catch (error) {
      told.textContent = messageOf(error);
    }
  }

  async function load() {
    /** @type {import('../watch/control.ts').PlaygroundSample[]} */
    const samples = await questions.ask('playground', { run: id }).catch(() => []);
    const last = samples[0]?.picture ?? '';
    if (last === newest) return;
    if (newest !== undefined) {
      told.textContent = 'Drawn.';
      context.say('the drawings are there');
    }
    newest = last;
    fill(
      drawings,
      h(
        'div.members',
        samples.map((sample) =>
          h(
            'div',
            h('p.sub', `${sample.prompt} · step ${sample.step}`),
            sampleCard(
              sample,
              `picture/playground?${new URLSearchParams({ run: id, name: sample.picture })}`,
              undefined,
            ),
          ),
        ),
      ),
    );
  }

  const timer = setInterval(() => void load(), 1500);
  void load();
  return {
    leave() {
      questions.leave();
      clearInterval(timer);
    },
  };
}
