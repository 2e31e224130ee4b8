/** Before and after, of every benchmark of a run. */
import { fill, h, labeled, problem } from './dom.js';
import { Questions } from './live.js';
import { showComparisons } from './comparison.js';

/** @typedef {import('./run-view.js').TabContext} TabContext @typedef {import('../watch/feed.ts').News} News */

/** @param {TabContext} context */
export function evaluationsTab({ id, place, context }) {
  let end = () => {};
  const questions = new Questions();
  const others = h(
    'select',
    {
      onchange: () => {
        if (others.value !== '') location.hash = `#/compare?${new URLSearchParams({ a: others.value, b: id })}`;
      },
    },
    h('option', { value: '' }, 'choose a run'),
    [...context.world.runs.keys()]
      .filter((each) => each !== id)
      .sort()
      .map((each) => h('option', { value: each }, each)),
  );
  const body = h('div', h('p.quiet', 'Reading the evaluations…'));
  fill(place, context.world.runs.size > 1 && h('div.tools', labeled('Compare with', others)), body);

  async function load() {
    let answers;
    try {
      answers = await questions.ask('evaluations', { run: id });
    } catch (error) {
      fill(body, problem(error));
      return;
    }
    end();
    end = showComparisons(
      body,
      answers,
      'No evaluation yet. GRPO evaluates before the first step and after the last: recipe.evaluations, recipe.evaluateEvery.',
    );
  }

  void load();
  return {
    /** @param {News} news */
    update(news) {
      if (news.parts.includes('evaluations')) void load();
    },
    leave() {
      questions.leave();
      end();
    },
  };
}
