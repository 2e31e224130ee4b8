/** The page: which view an address shows, and what of the news each view is told. */
import { fill, h, problem } from './dom.js';
import { Live, ask } from './live.js';
import { compareView } from './compare-view.js';
import { runView } from './run-view.js';
import { runsView } from './runs-view.js';

/**
 * @typedef {import('./answers.ts').RunSummary} RunSummary
 * @typedef {import('../watch/feed.ts').News} News
 * @typedef {{ update?(news: News): void, leave?(): void }} View
 * @typedef {{ runs: Map<string, RunSummary>, control: boolean, folder: string }} World  what all views know
 * @typedef {{ world: World, place: HTMLElement, say: (text: string) => void }} Context
 */

const place = /** @type {HTMLElement} */ (document.getElementById('view'));
const crumbs = /** @type {HTMLElement} */ (document.getElementById('crumbs'));
const connection = /** @type {HTMLElement} */ (document.getElementById('connection'));

/** @type {World} */
const world = { runs: new Map(), control: false, folder: '' };
/** @type {View} */
let view = {};
let shownRun = '';
let shownAddress = '';

const states = { live: 'live', waiting: 'reconnecting…', paused: 'paused' };
const live = new Live(
  (news) => {
    for (const run of news.runs) world.runs.set(run.id, run);
    if (news.ids !== undefined) {
      const ids = new Set(news.ids);
      for (const id of world.runs.keys()) if (!ids.has(id)) world.runs.delete(id);
    }
    view.update?.(news);
  },
  (state) => {
    connection.dataset['state'] = state;
    if (connection.textContent !== states[state]) connection.textContent = states[state];
  },
);

/** `#/run/ID/samples?step=10` → `['run', 'ID', 'samples']` and the query */
function address() {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function show() {
  if (location.hash === shownAddress) return;
  shownAddress = location.hash;
  const { parts, query } = address();
  const [kind, id = '', tab = 'curves'] = parts;
  const isSameRun = kind === 'run' && shownRun === id;
  view.leave?.();
  view = {};
  /** @type {Context} */
  const context = { world, place, say };
  if (kind === 'run') {
    const run = world.runs.get(id);
    document.title = `${run?.name ?? id} – reasongen`;
    fill(
      crumbs,
      h('span', { 'aria-hidden': 'true' }, '/'),
      h('a', { href: `#/run/${encodeURIComponent(id)}`, 'aria-current': 'page' }, id === '.' ? world.folder : id),
    );
    view = runView(context, id, tab, query);
  } else if (kind === 'compare') {
    document.title = 'Comparison – reasongen';
    fill(
      crumbs,
      h('span', { 'aria-hidden': 'true' }, '/'),
      h('a', { href: location.hash, 'aria-current': 'page' }, 'comparison'),
    );
    view = compareView(context, query.get('a') ?? '', query.get('b') ?? '');
  } else {
    document.title = `${world.folder} – reasongen`;
    fill(
      crumbs,
      h('span', { 'aria-hidden': 'true' }, '/'),
      h('a', { href: '#/', 'aria-current': 'page' }, world.folder),
    );
    view = runsView(context);
  }
  shownRun = kind === 'run' ? id : '';
  live.follow(kind === 'run' ? id : undefined);
  if (!isSameRun) scrollTo(0, 0);
}

const announcer = h('p.said', { role: 'status' });
document.body.append(announcer);

/** @param {string} text for who does not see the page change */
function say(text) {
  announcer.textContent = text;
}

async function start() {
  try {
    const { runs, control, folder } = await ask('runs');
    world.control = control;
    world.folder = folder;
    for (const run of runs) world.runs.set(run.id, run);
  } catch (error) {
    fill(place, problem(error));
    setTimeout(() => void start(), 3000);
    return;
  }
  addEventListener('hashchange', show);
  shownAddress = 'none';
  show();
}

void start();
