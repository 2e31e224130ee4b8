/** HTML made of template literals: whatever is put in is escaped unless it is markup already. */

import { scrub } from '../scrub.ts';

/** Finished markup. */
export interface Markup {
  readonly markup: string;
}

type Content = string | number | Markup | readonly Content[] | undefined | false;

/** `html\`<p>${text}</p>\``: texts are escaped, markup stays, lists are joined, `undefined` and `false` vanish. */
export function html(parts: TemplateStringsArray, ...contents: readonly Content[]): Markup {
  const pieces = parts.map((part, index) => part + render(contents[index]));
  return { markup: pieces.join('') };
}

/** Markup from elsewhere that is known to be safe. */
export function trusted(markup: string): Markup {
  return { markup };
}

function render(content: Content): string {
  if (content === undefined || content === false) return '';
  if (typeof content === 'string') return escape(content);
  if (typeof content === 'number') return String(content);
  if ('markup' in content) return content.markup;
  return content.map(render).join('');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Without secrets, and safe as text and in a quoted attribute. Control characters and halves of surrogate pairs become the replacement character. */
function escape(text: string): string {
  return scrub(text)
    .replaceAll(/[&<>"']/g, (character) => entities[character] ?? '')
    .replaceAll(/(?![\t\n\r])\p{Cc}|\p{Surrogate}/gu, '\ufffd');
}
