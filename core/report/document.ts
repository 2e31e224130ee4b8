/** A report as one HTML file that loads nothing: the parts of the live page written down, its style sheet, and the script that draws curves. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { escapeHtml, writeHtml } from './written.ts';

/** `view` is what a function of `page/report-view.js` returns. */
export async function reportDocument(title: string, view: Parameters<typeof writeHtml>[0]): Promise<string> {
  const body = writeHtml(view);
  const style = await styleSheet();
  // Without curves there is nothing to run.
  const script = body.includes(' data-curves="') ? await curvesScript() : undefined;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy(style, script)}">
<title>${escapeHtml(title)} – reasongen</title>
<style>${style}</style>
</head>
<body class="report">
${body}
${script === undefined ? '' : `<script>${script}</script>\n`}</body>
</html>
`;
}

/** Nothing may be loaded, and nothing runs but the one script, which is named by its content. */
function policy(style: string, script: string | undefined): string {
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    'img-src data:',
    `style-src ${hash(style)}`,
    `script-src ${script === undefined ? "'none'" : hash(script)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

const folder = new URL('../page/', import.meta.url);
const require = createRequire(import.meta.url);

async function styleSheet(): Promise<string> {
  const files = [
    require.resolve('uplot/dist/uPlot.min.css'),
    fileURLToPath(new URL('style.css', folder)),
    fileURLToPath(new URL('report.css', folder)),
  ];
  const sheets = await Promise.all(files.map((path) => readFile(path, 'utf8')));
  return sheets.join('\n');
}

/** The modules that draw curves, as one script: a page that was opened from a file cannot load them. */
async function curvesScript(): Promise<string> {
  const uplot = require.resolve('uplot/dist/uPlot.esm.js');
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('report-script.js', folder))],
    bundle: true,
    write: false,
    minify: true,
    legalComments: 'inline',
    format: 'iife',
    target: 'es2022',
    logLevel: 'silent',
    plugins: [
      {
        name: 'uplot',
        // Under the name by which the server of the live page sends it.
        setup: (bundle) => bundle.onResolve({ filter: /^\.\/uplot\.js$/ }, () => ({ path: uplot })),
      },
    ],
  });
  return outputFiles.map(({ text }) => text).join('');
}
