/** What a run is made of: its preset with the origin of every value, where it ran, its sessions, checkpoints and memory. */
import { fill, h, labeled } from './dom.js';
import { heads, scrolling } from './parts.js';
import { factBlocks, presetRows, sessionsTable } from './settings-parts.js';

/** @typedef {import('./run-view.js').TabContext} TabContext @typedef {import('./run-view.js').RunDetail} RunDetail @typedef {import('../watch/feed.ts').News} News */

/** @param {TabContext} context */
export function settingsTab({ detail, place }) {
  let text = '';
  const filter = h('input', {
    type: 'search',
    placeholder: 'steps, default, --set …',
    oninput: () => {
      text = filter.value.toLowerCase();
      drawPreset(shown);
    },
  });
  const preset = h('tbody');
  const facts = h('div.blocks');
  const sessions = h('div');
  let shown = detail;
  fill(
    place,
    h('h2.unseen', 'What it is made of'),
    facts,
    h(
      'section',
      h('div.tools', h('h2', 'Preset'), labeled('Filter', filter)),
      scrolling('Preset', h('table.preset', heads(['Value', 'Where it comes from']), preset)),
    ),
    h('section', h('h2', 'Sessions'), sessions),
  );
  draw(detail);

  /** @param {RunDetail} now */
  function draw(now) {
    shown = now;
    fill(facts, factBlocks(now));
    fill(sessions, sessionsTable(now));
    drawPreset(now);
  }

  /** @param {RunDetail} now */
  function drawPreset(now) {
    const lines = now.preset.filter(({ text: line, origin = '' }) => `${line} ${origin}`.toLowerCase().includes(text));
    fill(preset, presetRows(lines));
  }

  return {
    /** @param {News} news @param {RunDetail} fresh */
    update(news, fresh) {
      if (news.parts.length > 0) draw(fresh);
    },
  };
}
