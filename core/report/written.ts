/** Writes down elements of `core/page` as HTML: every text and value is escaped, and nothing is markup that is no element. */
import { WrittenText, type WrittenElement } from '../page/written-document.js';
import { scrub } from '../scrub.ts';

type Written = WrittenElement | WrittenText;
type Content = Written | string | false | undefined | readonly Content[];

/** What views return, lists and gaps among it. */
export function writeHtml(content: Content): string {
  if (content === undefined || content === false) return '';
  if (typeof content === 'string') return escapeHtml(content);
  if ('nodeType' in content) return content instanceof WrittenText ? escapeHtml(content.text) : element(content);
  return content.map(writeHtml).join('');
}

/** Elements without an end. */
const isVoid = new Set(['img', 'input', 'br']);

function element({ name, attributes, children }: WrittenElement): string {
  const values = [...attributes].map(([key, value]) => ` ${key}="${escapeHtml(value)}"`).join('');
  if (isVoid.has(name)) return `<${name}${values}>`;
  return `<${name}${values}>${children.map(writeHtml).join('')}</${name}>`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Without secrets, and safe as text and in a quoted attribute. Control characters and halves of surrogate pairs become the replacement character. */
export function escapeHtml(text: string): string {
  return scrub(text)
    .replaceAll(/[&<>"']/g, (character) => entities[character] ?? '')
    .replaceAll(/(?![\t\n\r])\p{Cc}|\p{Surrogate}/gu, '\ufffd');
}
