/** What a run is made of: where it ran, its sessions, checkpoints and memory, its preset with the origin of every value. */
import { h } from './dom.js';
import { bytes, dateTime, duration } from './format.js';
import { heads, scrolling } from './parts.js';

/** @typedef {Omit<import('./answers.ts').RunDetail, 'summary'>} Detail */

/** @param {Detail} detail */
export function factBlocks({ seeds, device, versions, memory, hashes, commit, checkpoints }) {
  return [
    block('Checkpoints', [['steps', checkpoints.length === 0 ? 'none yet' : checkpoints.join(', ')]]),
    block(
      'Memory on the device',
      Object.entries(memory).map(([name, value]) =>
        name.endsWith('Bytes') ? [name.slice(0, -5), bytes(value)] : [name, value],
      ),
    ),
    block('Seeds', Object.entries(seeds)),
    block('Adapter', Object.entries(device)),
    block('Versions', [
      ...Object.entries(versions),
      ...(commit === undefined ? [] : [/** @type {const} */ (['commit', commit])]),
    ]),
    block('SHA-256', Object.entries(hashes)),
  ];
}

/** @param {string} title @param {(readonly [string, unknown])[]} entries */
function block(title, entries) {
  return (
    entries.length > 0 &&
    h(
      'section.card',
      h('h3', title),
      h(
        'dl',
        entries.map(([name, value]) => h('div', h('dt', name), h('dd', String(value)))),
      ),
    )
  );
}

/** Newest first. @param {Pick<Detail, 'sessions'>} detail */
export function sessionsTable({ sessions }) {
  return scrolling(
    'Sessions',
    h(
      'table.sessions',
      heads(['Started', 'Took', 'Outcome', 'Command']),
      h(
        'tbody',
        sessions.toReversed().map(({ startedAt, finishedAt, outcome, note, warnings = [], command }) =>
          h(
            'tr',
            h('td', dateTime(startedAt)),
            h('td', finishedAt === undefined ? '–' : duration((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000)),
            h(
              'td',
              `${outcome ?? 'not finished'}${note === undefined ? '' : `: ${note}`}`,
              warnings.map((each) => h('p.warns', each)),
            ),
            h('td', h('code', command)),
          ),
        ),
      ),
    ),
  );
}

/** @param {Detail['preset']} lines */
export function presetRows(lines) {
  return lines.map(({ text, origin }) =>
    h('tr', { 'data-default': String(origin === 'default') }, h('td', h('code', text)), h('td.sub', origin ?? '')),
  );
}
