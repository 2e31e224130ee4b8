/** What ran: preset, seeds, adapter, versions, hashes, sessions, and the command to do it again. */
import type { RunRecords, RunSession } from '../io/records.ts';
import { formatSeconds } from '../log.ts';
import { formatBytes } from '../plan.ts';
import { html, type Markup } from './html.ts';

export function provenanceSection({ run, preset }: RunRecords): Markup {
  const [first] = run.sessions;
  const entries = (record: Readonly<Record<string, string | number>>): [string, string][] =>
    Object.entries(record).map(([name, value]) => [name, String(value)]);
  const program: [string, string][] = run.commit === undefined ? [] : [['commit', run.commit]];
  return html`<section>
    <h2>What ran</h2>
    <div class="provenance">
      ${block('Seeds', entries(run.seeds))} ${block('Adapter', entries(run.adapter))}
      ${block('Memory on the device', memoryEntries(run.memory))}
      ${block('Versions', [...entries(run.versions), ...program])} ${block('SHA-256', entries(run.hashes), true)}
    </div>
    ${
      first !== undefined &&
      html`<h3>To repeat it</h3>
        <pre class="command"><code>${first.command.map(quote).join(' ')}</code></pre>
        <p class="note">
          Same preset, seed and adapter give the same tokens and the same metrics. The resolved preset below is also in
          the run’s directory, as <code>preset.yaml</code>.
        </p>`
    }
    ${
      preset !== '' &&
      html`<details class="card">
        <summary>Resolved preset</summary>
        <pre><code>${preset}</code></pre>
      </details>`
    }
    ${
      run.sessions.length > 0 &&
      html`<details class="card">
        <summary>Sessions (${run.sessions.length})</summary>
        <div class="scroll">${sessionsTable(run.sessions)}</div>
      </details>`
    }
  </section>`;
}

/** `plannedBytes` and `peakBytes` are bytes, the rest are counts. */
function memoryEntries(memory: Readonly<Record<string, number>> = {}): [string, string][] {
  return Object.entries(memory).map(([name, value]) =>
    name.endsWith('Bytes') ? [name.slice(0, -'Bytes'.length), formatBytes(value)] : [name, String(value)],
  );
}

function block(title: string, entries: readonly (readonly [string, string])[], isWide = false): Markup | undefined {
  if (entries.length === 0) return undefined;
  return html`<div class="card${isWide && ' wide'}">
    <h3>${title}</h3>
    <dl>
      ${entries.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
  </div>`;
}

function sessionsTable(sessions: readonly RunSession[]): Markup {
  const rows = sessions.map(({ startedAt, finishedAt, outcome, note, warnings = [], command }) => {
    const time =
      finishedAt === undefined ? '–' : formatSeconds((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000);
    return html`<tr>
      <td>${startedAt.slice(0, 16).replace('T', ' ')} UTC</td>
      <td>${time}</td>
      <td>
        ${outcome ?? 'not finished'}${note !== undefined && `: ${note}`}
        ${warnings.map((warning) => html`<p class="warning">${warning}</p>`)}
      </td>
      <td><code>${command.map(quote).join(' ')}</code></td>
    </tr>`;
  });
  return html`<table class="plain">
    <thead>
      <tr>
        <th scope="col">Started</th>
        <th scope="col">Took</th>
        <th scope="col">Outcome</th>
        <th scope="col">Command</th>
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;
}

/** A word as a POSIX shell takes it. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
