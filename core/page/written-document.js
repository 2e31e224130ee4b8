/** Elements where there is no browser: `dom.js` puts them together, and a report writes them down. They know what reports need, and refuse anything else. */

export class WrittenElement {
  nodeType = 1;
  /** @type {Map<string, string>} */
  attributes = new Map();
  /** @type {(WrittenElement | WrittenText)[]} */
  children = [];

  /** @param {string} name */
  constructor(name) {
    this.name = name;
    Object.preventExtensions(this);
  }

  /** @param {string} name @param {unknown} value */
  setAttribute(name, value) {
    this.attributes.set(name, String(value));
  }

  /** @param {WrittenElement | WrittenText} child */
  appendChild(child) {
    this.children.push(child);
  }

  /** @param {(WrittenElement | WrittenText)[]} children */
  append(...children) {
    this.children.push(...children);
  }

  /** @param {string} text */
  set textContent(text) {
    this.children = [new WrittenText(text)];
  }
}

/** Properties of elements by the attributes that they stand for. */
const properties = {
  ...{ alt: 'alt', className: 'class', decoding: 'decoding', hidden: 'hidden', loading: 'loading', open: 'open' },
  ...{ scope: 'scope', src: 'src', tabIndex: 'tabindex', title: 'title' },
};
for (const [property, attribute] of Object.entries(properties))
  Object.defineProperty(WrittenElement.prototype, property, {
    /** @this {WrittenElement} @param {string | number | boolean} value */
    set(value) {
      if (value !== false) this.setAttribute(attribute, value === true ? '' : String(value));
    },
  });

export class WrittenText {
  nodeType = 3;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** As much of `document` as `dom.js` calls. @type {any} */
export const writtenDocument = {
  createElement: (/** @type {string} */ name) => new WrittenElement(name),
  createElementNS: (/** @type {string} */ _, /** @type {string} */ name) => new WrittenElement(name),
  createTextNode: (/** @type {string} */ text) => new WrittenText(text),
};
