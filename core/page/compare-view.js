/** Two runs: their last evaluations of each benchmark that both have, picture by picture. */
import { fill, h, problem } from './dom.js';
import { Questions } from './live.js';
import { showComparisons } from './comparison.js';

/** @param {import('./main.js').Context} context @param {string} a @param {string} b */
export function compareView({ place }, a, b) {
  let end = () => {};
  const questions = new Questions();
  const link = (/** @type {string} */ id) => h('a', { href: `#/run/${encodeURIComponent(id)}/evaluations` }, id);
  const body = h('div', h('p.quiet', 'Comparing…'));
  fill(
    place,
    h(
      'div.head',
      h('h1', 'Comparison'),
      h('a.button', { href: `#/compare?${new URLSearchParams({ a: b, b: a })}` }, 'The other way round'),
    ),
    h(
      'p.quiet',
      'A: ',
      link(a),
      ' · B: ',
      link(b),
      '. Paired picture by picture, 95 % intervals: the numbers of ',
      h('code', 'npx reasongen compare A B'),
      '.',
    ),
    body,
  );
  async function load() {
    try {
      end = showComparisons(
        body,
        await questions.ask('compare', { a, b }),
        'They have no evaluation in common: evaluate both by one benchmark, npx reasongen evaluate RUN.',
      );
    } catch (error) {
      fill(body, problem(error));
    }
  }

  void load();
  return {
    leave() {
      questions.leave();
      end();
    },
  };
}
