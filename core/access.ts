/**
 * Who may ask a server of this program for what. A page of another site must not ask through a browser of this machine, whatever name it gives this
 * address (DNS rebinding); beyond this machine nobody asks without the token; and what changes anything demands it everywhere.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { exitCodes, ReasongenError } from './errors.ts';

/** Characters of a token that somebody chose. */
const shortestToken = 16;

export interface Access {
  readonly isLoopback: boolean;
  /** Undefined where reading is free and nothing may be changed. */
  readonly token: string | undefined;
  readonly control: boolean;
  /** Names, without a port, that a request may be addressed to. */
  isOwnHost(header: string | undefined): boolean;
  /** Compares in a time that does not depend on where they differ. */
  isToken(given: string | undefined): boolean;
}

export interface AccessOptions {
  /** The address that is listened on. */
  readonly host: string;
  readonly token?: string | undefined;
  /** Where the token comes from, for messages. */
  readonly tokenFrom?: string | undefined;
  readonly control?: boolean | undefined;
}

/** Throws BAD_TOKEN for a token that could be guessed. */
export function createAccess({ host, token: chosen, tokenFrom = '--token', control = false }: AccessOptions): Access {
  if (chosen !== undefined && !/^[\w.~-]+$/.test(chosen))
    throw badToken(tokenFrom, 'it may hold letters, digits and . _ ~ - only');
  if (chosen !== undefined && chosen.length < shortestToken)
    throw badToken(tokenFrom, `it has ${chosen.length} characters, and ${shortestToken} are the least`);
  const isLoopback = isLoopbackName(host);
  const token = chosen ?? (isLoopback && !control ? undefined : randomBytes(24).toString('base64url'));
  const names = new Set([host, hostname()].map((name) => name.toLowerCase()));
  return {
    isLoopback,
    token,
    control,
    isOwnHost(header) {
      const name = nameOf(header);
      if (name === undefined) return false;
      if (isLoopbackName(name)) return true;
      // No name server makes an address lead elsewhere.
      return !isLoopback && (isIP(name) > 0 || names.has(name));
    },
    isToken: (given) => token !== undefined && given !== undefined && timingSafeEqual(digest(given), digest(token)),
  };
}

export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/** `localhost` of `localhost:8750`, `::1` of `[::1]:8750`; undefined for what is no host. */
function nameOf(header = ''): string | undefined {
  const [, address, name] = /^(?:\[([\da-f:.]+)\]|([a-z\d._-]+))(?::\d{1,5})?$/i.exec(header) ?? [];
  return (address ?? name)?.toLowerCase();
}

/** The token of an `Authorization` header. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer (\S+)$/i.exec(header ?? '')?.[1];
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function badToken(place: string, why: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_TOKEN',
    message: `this token is refused: ${why}`,
    place,
    hint:
      place === '--token'
        ? 'leave --token out: a safe one is made and printed with the address'
        : 'take a long random one: openssl rand -hex 24',
    exitCode: exitCodes.badPreset,
  });
}

/** Of every answer: nothing comes from elsewhere, no text becomes script or markup, nobody frames the page. */
export const guardedHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** Of a picture: whatever it holds, it is no document of this place. */
export const pictureHeaders: Readonly<Record<string, string>> = {
  'content-type': 'image/png',
  'content-security-policy': "default-src 'none'; sandbox",
};
