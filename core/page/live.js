/**
 * The connection over which the server tells what changes. It is given up while the page is hidden, because a browser opens few to one address, and
 * taken up where it was when somebody looks again, as after a break of the network.
 */

/** @typedef {import('../watch/feed.ts').News} News */

export class Live {
  /** @param {(news: News) => void} onNews @param {(state: 'live' | 'waiting' | 'paused') => void} onState */
  constructor(onNews, onState) {
    this.onNews = onNews;
    this.onState = onState;
    /** @type {EventSource | undefined} */
    this.source = undefined;
    /** @type {string | undefined} */
    this.run = undefined;
    this.lastId = '';
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retry = undefined;
    document.addEventListener('visibilitychange', () => (document.hidden ? this.pause() : this.open()));
  }

  /** Listens to the list of runs, and to one of them. @param {string | undefined} run */
  follow(run) {
    if (this.source !== undefined && this.run === run) return;
    this.run = run;
    this.lastId = '';
    this.open();
  }

  open() {
    this.close();
    const query = new URLSearchParams();
    if (this.run !== undefined) query.set('run', this.run);
    if (this.lastId !== '') query.set('since', this.lastId);
    this.onState('waiting');
    const source = new EventSource(`api/events?${query}`);
    source.addEventListener('open', () => this.onState('live'));
    source.addEventListener('news', (event) => {
      this.lastId = event.lastEventId;
      this.onNews(/** @type {News} */ (JSON.parse(event.data)));
    });
    source.addEventListener('error', () => {
      this.onState('waiting');
      // The browser tries again by itself unless the answer was none.
      if (source.readyState !== EventSource.CLOSED) return;
      this.retry = setTimeout(() => this.open(), 2000);
    });
    this.source = source;
  }

  pause() {
    this.close();
    this.onState('paused');
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = undefined;
  }
}

/**
 * Asks the server. Throws what it says when it refuses.
 * @param {string} path @param {Record<string, string | number>} [query]
 * @returns {Promise<any>}
 */
export async function ask(path, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`api/${path}?${parameters}`);
  const answer = await response.json().catch(() => undefined);
  if (response.ok) return answer;
  throw new Error(answer?.message ?? `the server answered ${response.status}`);
}

/**
 * Questions of a part of the page. Only the newest is answered, and none after `leave`: an answer that was overtaken never comes, so that what
 * stands behind its `await` cannot draw over what is newer.
 */
export class Questions {
  turn = 0;
  isLeft = false;

  /** @type {typeof ask} */
  async ask(path, query) {
    const mine = ++this.turn;
    const isWanted = () => !this.isLeft && mine === this.turn;
    try {
      const answer = await ask(path, query);
      if (isWanted()) return answer;
    } catch (error) {
      if (isWanted()) throw error;
    }
    return new Promise(() => {});
  }

  leave() {
    this.isLeft = true;
  }
}

/** @param {string} run @param {object} request */
export async function tell(run, request) {
  const response = await fetch(`api/control?${new URLSearchParams({ run })}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  if (response.ok) return;
  const answer = await response.json().catch(() => undefined);
  throw new Error(
    [answer?.message, answer?.hint].filter(Boolean).join('; ') || `the server answered ${response.status}`,
  );
}
