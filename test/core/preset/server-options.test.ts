/** What may stand where a preset names a server. */
import { describe, expect, test } from 'vitest';
import { serverAddress } from '../../../core/preset/server-options.ts';

describe('an address', () => {
  test.each(['http://127.0.0.1:8000/v1', 'https://judge.example/v1/%24batch', 'http://h/~me/v1', 'http://[::1]:80/'])(
    '%s is one',
    (url) => {
      expect(serverAddress.safeParse(url).success).toBe(true);
    },
  );

  test.each([
    ['http://$HOST/v1', /variables are not expanded/],
    ['${JUDGE}/v1', /variables are not expanded/],
    ['$JUDGE', /variables are not expanded/],
    ['http://h:${PORT}/v1', /variables are not expanded/],
    ['http://me:secret@h/v1', /without user, password/],
    ['http://h/v1?key=x', /without user, password/],
    ['ftp://h/v1', /Invalid URL/],
    ['judge', /Invalid URL/],
  ])('%s is none', (url, message) => {
    expect(
      serverAddress
        .safeParse(url)
        .error?.issues.map((issue) => issue.message)
        .join(),
    ).toMatch(message);
  });
});
