/** The list of runs: how far each is, what it reaches, what it warns of. Any two can be compared. */
import { choice, fill, h, labeled } from './dom.js';
import { ago, duration, number, percent } from './format.js';

/** @typedef {import('./main.js').Context} Context @typedef {import('./answers.ts').RunSummary} RunSummary */

const hiddenKey = 'reasongen hidden';

/** @returns {Set<string>} */
function readHidden() {
  try {
    const stored = JSON.parse(localStorage.getItem(hiddenKey) ?? '[]');
    return new Set(Array.isArray(stored) ? stored.filter((each) => typeof each === 'string') : []);
  } catch {
    return new Set();
  }
}

/** @param {Context} context */
export function runsView({ world, place, say }) {
  const hidden = readHidden();
  /** @type {string[]} */
  let chosen = [];
  let text = '';
  let state = 'all';
  let showsHidden = false;

  const rows = h('tbody');
  const empty = h('p.quiet');
  const compareLink = h('a.button', { href: '#/', 'aria-disabled': 'true' }, 'Compare');
  const hiddenButton = h('button', {
    type: 'button',
    'aria-pressed': 'false',
    onclick: () => {
      showsHidden = !showsHidden;
      hiddenButton.setAttribute('aria-pressed', String(showsHidden));
      draw();
    },
  });
  const filter = h('input', {
    type: 'search',
    placeholder: 'name, preset, adapter',
    oninput: () => {
      text = filter.value.toLowerCase();
      draw();
    },
  });

  fill(
    place,
    h('div.head', h('h1', 'Runs'), h('p.quiet', `below ${world.folder}`)),
    h(
      'div.tools',
      labeled('Filter', filter),
      choice(
        'State',
        [
          ['all', 'All'],
          ['running', 'Running'],
          ['done', 'Finished'],
          ['ended', 'Ended early'],
        ],
        'all',
        (value) => {
          state = value;
          draw();
        },
      ),
      hiddenButton,
      h('span.push'),
      compareLink,
    ),
    h(
      'div.scroll',
      { tabIndex: 0, role: 'region', 'aria-label': 'Runs' },
      h(
        'table.runs',
        h(
          'thead',
          h(
            'tr',
            ['', 'Run', 'State', 'Progress', 'Left', 'Reward', 'Pass rate', 'Adapter', 'Last warning', ''].map(
              (title, at) =>
                h(
                  'th',
                  { scope: 'col', className: [5, 6].includes(at) ? 'number' : '' },
                  title === '' ? h('span.unseen', at === 0 ? 'Compare' : 'Hide') : title,
                ),
            ),
          ),
        ),
        rows,
      ),
    ),
    empty,
  );
  draw();

  /** @param {RunSummary} run */
  function isShown(run) {
    if (hidden.has(run.id) && !showsHidden) return false;
    if (state === 'ended' ? ['running', 'done'].includes(run.state) : state !== 'all' && run.state !== state)
      return false;
    return [run.id, run.name, run.preset, run.adapter].some((each) => each?.toLowerCase().includes(text));
  }

  function draw() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.['key'];
    const runs = [...world.runs.values()]
      .filter(isShown)
      .sort(
        (a, b) =>
          Number(b.state === 'running') - Number(a.state === 'running') ||
          ((a.startedAt ?? '') < (b.startedAt ?? '') ? 1 : -1),
      );
    fill(rows, runs.map(row));
    const count = [...world.runs.keys()].filter((id) => hidden.has(id)).length;
    fill(hiddenButton, `Hidden (${count})`);
    hiddenButton.hidden = count === 0;
    empty.hidden = runs.length > 0;
    fill(
      empty,
      world.runs.size === 0
        ? 'There is no run here yet. One that begins appears by itself.'
        : 'No run fits the filter.',
    );
    chosen = chosen.filter((id) => world.runs.has(id));
    const [a, b] = chosen;
    compareLink.textContent = chosen.length === 2 ? 'Compare the two' : `Compare: choose ${2 - chosen.length}`;
    compareLink.setAttribute('aria-disabled', String(chosen.length !== 2));
    compareLink.href = a !== undefined && b !== undefined ? `#/compare?${new URLSearchParams({ a, b })}` : '#/';
    if (focused !== undefined)
      /** @type {HTMLElement | null} */ (rows.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {RunSummary} run */
  function row(run) {
    const isHidden = hidden.has(run.id);
    return h(
      'tr',
      { 'data-run': run.id, 'data-state': run.state },
      h(
        'td',
        h('input', {
          type: 'checkbox',
          checked: chosen.includes(run.id),
          'data-key': `choose ${run.id}`,
          'aria-label': `Compare ${run.id}`,
          onchange: () => {
            chosen = chosen.includes(run.id) ? chosen.filter((id) => id !== run.id) : [...chosen, run.id].slice(-2);
            draw();
          },
        }),
      ),
      h(
        'th',
        { scope: 'row' },
        h(
          'a',
          { href: `#/run/${encodeURIComponent(run.id)}`, 'data-key': `open ${run.id}` },
          run.id === '.' ? run.name : run.id,
        ),
        h(
          'span.sub',
          [run.preset ?? run.name, run.startedAt === undefined ? '' : ago(run.startedAt)].filter(Boolean).join(' · '),
        ),
      ),
      h(
        'td',
        { 'data-label': 'State' },
        pill(run.state),
        run.note !== undefined && run.state !== 'done' && h('span.sub.clip', { title: run.note }, run.note),
      ),
      h('td', { 'data-label': 'Progress' }, progress(run)),
      cell('Left', run.state === 'running' && run.secondsLeft !== undefined && duration(run.secondsLeft)),
      cell('Reward', run.reward !== undefined && number(run.reward), '.number'),
      cell('Pass rate', run.passRate !== undefined && percent(run.passRate), '.number'),
      cell('Adapter', run.adapter !== undefined && h('span.clip', { title: run.adapter }, run.adapter)),
      cell('Last warning', run.warning !== undefined && h('span.warns.clip', { title: run.warning }, run.warning)),
      h(
        'td',
        h(
          'button.plain',
          {
            type: 'button',
            'data-key': `hide ${run.id}`,
            'aria-label': `${isHidden ? 'Show' : 'Hide'} ${run.id}`,
            onclick: () => {
              if (isHidden) hidden.delete(run.id);
              else hidden.add(run.id);
              localStorage.setItem(hiddenKey, JSON.stringify([...hidden]));
              say(`${run.id} is ${isHidden ? 'shown' : 'hidden'}`);
              draw();
            },
          },
          isHidden ? 'show' : 'hide',
        ),
      ),
    );
  }

  return { update: draw };
}

/** @param {string} label @param {import('./dom.js').Child} content @param {string} [classes] */
function cell(label, content, classes = '') {
  return h(
    `td${classes}${content === false ? '.none' : ''}`,
    { 'data-label': label },
    content === false ? '–' : content,
  );
}

/** @param {string} state */
export function pill(state) {
  return h('span.pill', { 'data-state': state }, state === 'done' ? 'finished' : state);
}

/** @param {RunSummary} run */
export function progress({ step = 0, steps }) {
  if (steps === undefined) return h('span', step === 0 ? '–' : `step ${step}`);
  return h(
    'span.progress',
    h('progress', { max: Math.max(1, steps), value: Math.min(step, steps), 'aria-label': `step ${step} of ${steps}` }),
    h('span', `${step} / ${steps}`),
  );
}
