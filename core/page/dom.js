/** Elements from calls. What comes from a run is put in as text and never becomes markup. Without a browser they are written (written-document.js). */
import { writtenDocument } from './written-document.js';

const elements = globalThis.document ?? writtenDocument;

/** @typedef {Node | string | number | false | null | undefined | Children} Child */
/** @typedef {{ [Symbol.iterator](): Iterator<Child> }} Children  a list of them, however nested */
/** @typedef {Record<string, unknown>} Properties  `onclick` and the like are listeners, `aria-…`, `data-…`, `role` attributes, all others properties. */

/**
 * `h('p.note', { title: 'why' }, text)`
 * @param {string} selector name of the element, then classes
 * @param {Properties | Child} [first]
 * @param {Child[]} rest
 * @returns {any} the element; which one its name says
 */
export function h(selector, first, ...rest) {
  const [name = 'div', ...classes] = selector.split('.');
  const element = elements.createElement(name);
  if (classes.length > 0) element.className = classes.join(' ');
  if (isProperties(first)) set(element, first);
  else put(element, first);
  for (const child of rest) put(element, child);
  return element;
}

/** @param {unknown} value @returns {value is Properties} */
function isProperties(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isNode(value);
}

/** @param {object} value @returns {value is Node} */
function isNode(value) {
  return 'nodeType' in value;
}

/** @param {HTMLElement} element @param {Properties} properties */
function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (/^(aria-|data-)/.test(name) || name === 'role') element.setAttribute(name, /** @type {string} */ (value));
    else Object.assign(element, { [name]: value });
  }
}

/** @param {Node} element @param {Child} child */
function put(element, child) {
  if (child === false || child === null || child === undefined) return;
  if (typeof child === 'string' || typeof child === 'number')
    element.appendChild(elements.createTextNode(shown(`${child}`)));
  else if (isNode(child)) element.appendChild(child);
  else for (const each of child) put(element, each);
}

/** Replaces what an element holds. @param {Element} element @param {Child[]} children */
export function fill(element, ...children) {
  const part = document.createDocumentFragment();
  put(part, children);
  element.replaceChildren(part);
}

/**
 * Text that may be long, and then scrolls by itself: who uses the keyboard can get into it.
 * @param {string} selector @param {string} text @param {Properties} [properties] @param {Child[]} more
 */
export function prose(selector, text, properties = {}, ...more) {
  return h(selector, { ...properties, ...reachable(text) }, text, ...more);
}

/** @param {string} text */
export function reachable({ length }) {
  return length > 60 ? { tabIndex: 0 } : {};
}

const svgSpace = 'http://www.w3.org/2000/svg';

/** @param {string} name @param {Record<string, string | number>} attributes @param {Element[]} children @returns {SVGElement} */
export function svg(name, attributes, ...children) {
  const element = elements.createElementNS(svgSpace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/**
 * Text as it may stand in the page: overrides of the writing direction could make the text around it read otherwise.
 * @param {string} text
 */
function shown(text) {
  return text.replaceAll(/[\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** A number of a slider or list with its label. @param {string} label @param {HTMLElement} control */
export function labeled(label, control) {
  return h('label.field', h('span', label), control);
}

/**
 * Buttons of which one is pressed.
 * @template {string} Value
 * @param {string} label @param {readonly (readonly [Value, string])[]} choices @param {Value} chosen @param {(value: Value) => void} choose
 */
export function choice(label, choices, chosen, choose) {
  const buttons = choices.map(([value, text]) =>
    h(
      'button',
      {
        type: 'button',
        'aria-pressed': String(value === chosen),
        onclick: (/** @type {MouseEvent} */ event) => {
          for (const each of buttons) each.setAttribute('aria-pressed', String(each === event.currentTarget));
          choose(value);
        },
      },
      text,
    ),
  );
  return h('div.choice', { role: 'group', 'aria-label': label }, buttons);
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** What is shown in place of something that could not be had. @param {unknown} error */
export function problem(error) {
  return h('p.problem', { role: 'alert' }, messageOf(error));
}
