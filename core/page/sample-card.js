/** A drawing with everything that explains its reward. */
import { h, prose, reachable } from './dom.js';
import { number } from './format.js';
import { partsList, pictureOr } from './parts.js';

/** @typedef {import('./answers.ts').WatchedSample} WatchedSample */
/** @template {WatchedSample} [Sample=WatchedSample] @typedef {{ step: number, prompt: string, task: string, samples: Sample[] }} Group  the drawings of one prompt in one step */
/** @typedef {Pick<import('./answers.ts').WatchedSample, 'prompt' | 'rationale' | 'rationaleEnded' | 'scores' | 'total' | 'advantage' | 'tokens'>} Drawn */

/** @param {Drawn} sample @param {string | undefined} picture address @param {boolean | undefined} isPass undefined where nobody judged it */
export function sampleCard(sample, picture, isPass) {
  const { prompt, rationale, rationaleEnded, scores, total, advantage, tokens } = sample;
  return h(
    'article.sample',
    { 'data-pass': String(isPass ?? '') },
    pictureOr(picture, isPass === undefined ? prompt : `${prompt}: reward ${number(total)}`, 'no picture', {
      decoding: 'async',
    }),
    h(
      'p.verdict',
      isPass !== undefined && h('strong', { title: 'reward' }, `${isPass ? '✓' : '✗'} ${number(total)}`),
      advantage !== undefined &&
        h('span', { title: 'advantage within the group' }, `A ${advantage > 0 ? '+' : ''}${number(advantage)}`),
      tokens !== undefined &&
        h(
          'span',
          { title: 'mean entropy of text and of image tokens, nats' },
          `H ${number(meanOf(tokens.entropy.slice(0, tokens.text.length)))} · ${number(meanOf(tokens.entropy.slice(tokens.text.length === 0 ? 0 : tokens.text.length + 1)))}`,
        ),
    ),
    ...Object.entries(scores).map(([name, { why, parts }]) => [
      why !== undefined && prose('p.why', why, { title: name }),
      (parts !== undefined || Object.keys(scores).length > 1) &&
        h(
          'details',
          h('summary', Object.keys(scores).length > 1 ? `${name} ${number(scores[name]?.value)}` : 'parts'),
          partsList(parts),
        ),
    ]),
    tokens === undefined
      ? rationale !== '' && prose('p.rationale', rationale, {}, rationaleEnded === false && h('span.warns', ' … cut'))
      : rationaleTokens(tokens, rationaleEnded),
  );
}

/**
 * Each token with its log-probability: the darker its ground, the less sure the model was. The numbers are told by hovering, and in a list for
 * those who do not hover.
 * @param {NonNullable<Drawn['tokens']>} tokens @param {boolean | undefined} ended
 */
function rationaleTokens({ text, logProbability }, ended) {
  const logs = text.map((_, at) => logProbability[at] ?? 0);
  const said = (/** @type {number} */ log) => `log-probability ${number(log)}, probability ${number(Math.exp(log))}`;
  return [
    h(
      'p.rationale.tokens',
      reachable(text.join('')),
      text.map((token, at) => {
        const log = logs[at] ?? 0;
        const doubt = Math.min(4, Math.floor(-log / 0.5));
        return h('span', { 'data-doubt': String(doubt), title: `${token.trim()}: ${said(log)}` }, token);
      }),
      ended === false && h('span.warns', ' … cut'),
    ),
    text.length > 0 &&
      h(
        'details',
        h('summary', 'tokens'),
        h(
          'dl.parts',
          text.map((token, at) => h('div', h('dt', token), h('dd', { title: said(logs[at] ?? 0) }, number(logs[at])))),
        ),
      ),
  ];
}

/** @param {readonly number[]} values */
function meanOf(values) {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A strict verdict where a reward gives one, else the full reward. @param {Pick<WatchedSample, 'total' | 'scores'>} sample */
export function passes({ total, scores }) {
  const verdict = Object.values(scores).find(({ parts }) => parts?.['strict'] !== undefined)?.parts?.['strict'];
  return verdict === undefined ? total >= 1 : verdict === 1;
}

/** Neighbors of one step and prompt belong together. @template {WatchedSample} Sample @param {readonly Sample[]} samples @returns {Group<Sample>[]} */
export function groupsOf(samples) {
  /** @type {Group<Sample>[]} */
  const groups = [];
  for (const sample of samples) {
    const last = groups.at(-1);
    if (last !== undefined && last.step === sample.step && last.prompt === sample.prompt) last.samples.push(sample);
    else groups.push({ step: sample.step, prompt: sample.prompt, task: sample.task, samples: [sample] });
  }
  return groups;
}

/** @template {WatchedSample} Sample @param {Group<Sample>} group @param {(sample: Sample) => string | undefined} pictureOf @param {boolean} saysStep */
export function groupCard({ step, prompt, task, samples }, pictureOf, saysStep) {
  const mean = samples.reduce((sum, { total }) => sum + total, 0) / samples.length;
  return h(
    'section.group',
    { 'aria-label': prompt },
    h(
      'header',
      h('h3', prompt),
      h(
        'span.sub',
        [saysStep ? `step ${step}` : '', task.replaceAll('_', ' '), `mean reward ${number(mean)}`]
          .filter(Boolean)
          .join(' · '),
      ),
    ),
    h(
      'div.members',
      samples.map((sample) => sampleCard(sample, pictureOf(sample), passes(sample))),
    ),
  );
}
