/** One run: where it is, and its tabs. */
import { fill, h, messageOf, problem } from './dom.js';
import { bytes, duration, number, percent } from './format.js';
import { ask, Questions, tell } from './live.js';
import { curvesTab } from './curves-tab.js';
import { evaluationsTab } from './evaluations-tab.js';
import { failureBox } from './parts.js';
import { playgroundTab } from './playground-tab.js';
import { pill, progress } from './runs-view.js';
import { samplesTab } from './samples-tab.js';
import { settingsTab } from './settings-tab.js';

/**
 * @typedef {import('./main.js').Context} Context
 * @typedef {import('../watch/feed.ts').News} News
 * @typedef {import('./answers.ts').RunDetail} RunDetail
 * @typedef {{ id: string, detail: RunDetail, place: HTMLElement, query: URLSearchParams, context: Context }} TabContext
 * @typedef {{ update?(news: News, detail: RunDetail): void, leave?(): void }} Tab
 */

/** @type {Record<string, { title: string, open: (context: TabContext) => Tab, isShown?: (context: Context) => boolean }>} */
const tabs = {
  curves: { title: 'Curves', open: curvesTab },
  samples: { title: 'Samples', open: samplesTab },
  evaluations: { title: 'Evaluations', open: evaluationsTab },
  settings: { title: 'Settings', open: settingsTab },
  playground: { title: 'Playground', open: playgroundTab, isShown: ({ world }) => world.control },
};

/** @param {Context} context @param {string} id @param {string} name @param {URLSearchParams} query */
export function runView(context, id, name, query) {
  const { world, place, say } = context;
  const summary = h('div.summary');
  const trouble = h('div');
  const body = h('div.tab', { id: 'tab' });
  const links = h(
    'nav.tabs',
    { 'aria-label': 'Views of the run' },
    Object.entries(tabs)
      .filter(([, { isShown }]) => isShown?.(context) ?? true)
      .map(([key, { title }]) =>
        h(
          'a',
          { href: `#/run/${encodeURIComponent(id)}/${key}`, 'aria-current': key === name ? 'page' : 'false' },
          title,
        ),
      ),
  );
  fill(place, summary, trouble, links, body);
  /** @type {Tab} */
  let tab = {};
  const opening = new Questions();
  let isLeft = false;
  /** News are told in their order, none is left out. */
  let told = Promise.resolve();
  /** @type {RunDetail | undefined} */
  let detail;

  async function open() {
    /** @type {RunDetail} */
    let found;
    try {
      found = await opening.ask('run', { run: id });
    } catch (error) {
      fill(body, problem(error));
      drawSummary();
      return;
    }
    detail = found;
    drawSummary();
    tab.leave?.();
    tab = (tabs[name] ?? tabs['curves'])?.open({ id, detail: found, place: body, query, context }) ?? {};
  }

  function drawSummary() {
    const run = world.runs.get(id) ?? detail?.summary;
    if (run === undefined) return;
    fill(
      summary,
      h('div.head', h('h1', run.id === '.' ? run.name : run.id), pill(run.state)),
      h(
        'dl.facts',
        fact('Step', progress(run)),
        run.state === 'running' && fact('Left', duration(run.secondsLeft)),
        fact('A step takes', duration(run.secondsPerStep)),
        run.reward !== undefined && fact('Reward', number(run.reward)),
        run.passRate !== undefined && fact('Pass rate', percent(run.passRate)),
        run.loss !== undefined && fact('Loss', number(run.loss)),
        detail?.memory['peakBytes'] !== undefined &&
          fact(
            'Memory',
            `peak ${bytes(detail.memory['peakBytes'])}, planned ${bytes(detail.memory['plannedBytes'] ?? 0)}`,
          ),
        run.adapter !== undefined && fact('Adapter', run.adapter),
      ),
      world.control && run.state === 'running' && buttons(id, say),
    );
    const last = detail?.sessions.at(-1);
    fill(trouble, last?.error !== undefined && run.state === 'failed' && failureBox(last.error));
  }

  /** @param {News} news */
  async function readAgain(news) {
    const fresh = await ask('run', { run: id }).catch(() => undefined);
    if (isLeft || fresh === undefined) return;
    detail = fresh;
    drawSummary();
    tab.update?.(news, fresh);
  }

  void open();
  return {
    /** @param {News} news */
    update(news) {
      drawSummary();
      if (detail === undefined && news.runs.some((run) => run.id === id)) void open();
      if (news.parts.length > 0 && detail !== undefined) {
        told = told.then(() => readAgain(news));
      } else if (detail !== undefined) tab.update?.(news, detail);
    },
    leave() {
      opening.leave();
      isLeft = true;
      tab.leave?.();
    },
  };
}

/** @param {string} name @param {any} value */
function fact(name, value) {
  return h('div', h('dt', name), h('dd', value));
}

/** @param {string} id @param {(text: string) => void} say */
function buttons(id, say) {
  const told = h('span.quiet');
  /** @param {object} request @param {string} done */
  const act = async (request, done) => {
    try {
      await tell(id, request);
      told.textContent = done;
    } catch (error) {
      told.textContent = messageOf(error);
    }
    say(told.textContent ?? '');
  };
  return h(
    'div.controls',
    h(
      'button',
      { type: 'button', onclick: () => void act({ kind: 'save' }, 'A checkpoint will be saved after this step.') },
      'Save a checkpoint',
    ),
    h(
      'button.danger',
      {
        type: 'button',
        onclick: () => {
          if (confirm('Stop the run after this step? It saves a checkpoint and can be resumed.'))
            void act({ kind: 'stop' }, 'The run stops after this step.');
        },
      },
      'Stop after this step',
    ),
    told,
  );
}
