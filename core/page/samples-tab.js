/** Drawings of training: each step's prompts with their groups side by side, filtered; and a prompt through all evaluations. */
import { choice, fill, h, labeled } from './dom.js';
import { number } from './format.js';
import { ask } from './live.js';
import { filmStrip } from './film-strip.js';
import { groupCard, groupsOf, passes } from './sample-card.js';
import { VirtualList } from './virtual-list.js';

/** @typedef {import('./run-view.js').TabContext} TabContext @typedef {import('./run-view.js').RunDetail} RunDetail @typedef {import('./answers.ts').WatchedSample} WatchedSample @typedef {import('../watch/feed.ts').News} News */
/** @typedef {import('./sample-card.js').Group} Group */

/** Steps that are read at the same time. */
const atOnce = 3;

/** @param {string} id @param {Pick<WatchedSample, 'step' | 'index'>} sample */
export function pictureOf(id, { step, index }) {
  return `picture/sample?${new URLSearchParams({ run: id, step: String(step), index: String(index) })}`;
}

/** A row of the newest step's drawings. @param {HTMLElement} place @param {string} id @param {RunDetail} detail */
export async function newestDrawings(place, id, detail) {
  const step = detail.sampleSteps.at(-1);
  if (step === undefined || place.dataset['step'] === String(step)) return;
  place.dataset['step'] = String(step);
  /** @type {WatchedSample[]} */
  const samples = await ask('samples', { run: id, step }).catch(() => []);
  fill(
    place,
    h('p.sub', `Newest drawings, step ${step}`),
    h(
      'div.strip',
      samples.slice(0, 24).map((sample) =>
        h(
          'a',
          {
            href: `#/run/${encodeURIComponent(id)}/samples?step=${step}`,
            title: `${sample.prompt}\n${number(sample.total)}`,
          },
          h('img', {
            src: pictureOf(id, sample),
            alt: `${sample.prompt}, reward ${number(sample.total)}`,
            loading: 'lazy',
          }),
        ),
      ),
    ),
  );
}

/** @param {TabContext} context */
export function samplesTab({ id, detail: first, place, query, context }) {
  let detail = first;
  let step = Number(query.get('step') ?? detail.sampleSteps.at(-1) ?? 0);
  let isAll = query.get('step') === 'all';
  let isFollowing = !query.has('step');
  /** @type {Map<number, WatchedSample[]>} */
  const read = new Map();
  const filters = { text: '', task: '', result: 'all', least: -Infinity, most: Infinity };
  let isLeft = false;
  let reading = 0;

  const strip = h('section', { 'aria-label': 'The same prompt through all evaluations' });
  const slider = h('input', {
    type: 'range',
    min: '0',
    step: '1',
    oninput: () => go(detail.sampleSteps[Number(slider.value)] ?? step),
  });
  const stepName = h('output');
  const task = h('select', { onchange: () => change({ task: task.value }) });
  const tools = h(
    'div.tools',
    choice(
      'Steps',
      [
        ['one', 'One step'],
        ['all', 'All steps'],
      ],
      isAll ? 'all' : 'one',
      (value) => {
        isAll = value === 'all';
        stepField.hidden = isAll;
        void load();
      },
    ),
  );
  const stepField = h(
    'span.stepper',
    { hidden: isAll },
    h('button', { type: 'button', 'aria-label': 'Earlier step', onclick: () => move(-1) }, '‹'),
    labeled('Step', slider),
    stepName,
    h('button', { type: 'button', 'aria-label': 'Later step', onclick: () => move(1) }, '›'),
  );
  const count = h('p.quiet', { role: 'status' });
  tools.append(
    stepField,
    labeled('Task', task),
    labeled(
      'Prompt',
      h('input', {
        type: 'search',
        placeholder: 'words of the prompt',
        oninput: (/** @type {any} */ event) => change({ text: event.target.value.toLowerCase() }),
      }),
    ),
    choice(
      'Result',
      [
        ['all', 'All'],
        ['pass', '✓ Pass'],
        ['fail', '✗ Fail'],
      ],
      'all',
      (result) => change({ result }),
    ),
    h(
      'span.field',
      'Reward',
      bound('least reward', 'from', -Infinity, (least) => change({ least })),
      '–',
      bound('largest reward', 'to', Infinity, (most) => change({ most })),
    ),
  );
  const listPlace = h('div');
  fill(place, strip, h('h2.unseen', 'Drawings of training'), tools, count, listPlace);
  const list = new VirtualList(listPlace, (/** @type {Group} */ group) =>
    groupCard(group, (sample) => pictureOf(id, sample), isAll),
  );
  const film = filmStrip(strip, id);

  /** @param {number} next */
  function go(next) {
    step = next;
    isFollowing = next === detail.sampleSteps.at(-1);
    void load();
  }

  /** @param {number} by */
  function move(by) {
    const at = detail.sampleSteps.indexOf(step) + by;
    const next = detail.sampleSteps[at];
    if (next !== undefined) go(next);
  }

  /** @param {Partial<typeof filters>} changed */
  function change(changed) {
    Object.assign(filters, changed);
    draw();
  }

  async function load() {
    const mine = ++reading;
    drawTools();
    const wanted = isAll ? detail.sampleSteps.toReversed() : [step];
    const missing = wanted.filter((each) => !read.has(each));
    while (missing.length > 0) {
      const some = missing.splice(0, atOnce);
      const answers = await Promise.all(some.map((each) => ask('samples', { run: id, step: each }).catch(() => [])));
      if (isLeft || mine !== reading) return;
      for (const [at, each] of some.entries()) read.set(each, answers[at]);
      draw();
    }
    draw();
  }

  function drawTools() {
    const steps = detail.sampleSteps;
    slider.max = String(Math.max(0, steps.length - 1));
    slider.value = String(Math.max(0, steps.indexOf(step)));
    slider.setAttribute('aria-valuetext', `step ${step}`);
    fill(stepName, String(step));
  }

  /** @param {WatchedSample} sample */
  function fits(sample) {
    return (
      (filters.task === '' || sample.task === filters.task) &&
      sample.prompt.toLowerCase().includes(filters.text) &&
      sample.total >= filters.least &&
      sample.total <= filters.most &&
      (filters.result === 'all' || passes(sample) === (filters.result === 'pass'))
    );
  }

  function draw() {
    const steps = isAll ? detail.sampleSteps.toReversed() : [step];
    const all = steps.flatMap((each) => read.get(each) ?? []);
    const tasks = [...new Set(all.map((sample) => sample.task))].filter((each) => each !== '').sort();
    if (task.options.length !== tasks.length + 1) {
      fill(
        task,
        h('option', { value: '' }, 'all tasks'),
        tasks.map((each) => h('option', { value: each }, each.replaceAll('_', ' '))),
      );
      task.value = tasks.includes(filters.task) ? filters.task : '';
    }
    const kept = all.filter(fits);
    fill(
      count,
      detail.sampleSteps.length === 0
        ? 'No drawings were saved yet. GRPO saves some of every 10th step: recipe.samplesEvery, recipe.samplesShown.'
        : `${kept.length} of ${all.length} drawings${isAll ? ` of ${steps.length} steps` : ''}`,
    );
    list.show(groupsOf(kept));
  }

  void load();
  void film.load();
  return {
    /** @param {News} news @param {RunDetail} fresh */
    update(news, fresh) {
      detail = fresh;
      if (news.parts.includes('evaluations')) void film.load();
      if (!news.parts.includes('samples')) return;
      const last = detail.sampleSteps.at(-1);
      // The newest step may have been drawn again by a run that was resumed.
      if (last !== undefined) read.delete(last);
      if (isFollowing && last !== undefined && last !== step) {
        step = last;
        context.say(`step ${last} was drawn`);
      }
      void load();
    },
    leave() {
      isLeft = true;
      list.leave();
    },
  };
}

/** @param {string} label @param {string} placeholder @param {number} none what nothing stands for @param {(value: number) => void} choose */
function bound(label, placeholder, none, choose) {
  const input = h('input.short', {
    type: 'number',
    step: 'any',
    placeholder,
    'aria-label': label,
    oninput: () => choose(input.value === '' ? none : Number(input.value)),
  });
  return input;
}
