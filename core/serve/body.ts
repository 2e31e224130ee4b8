/** The body of a request: JSON within bounds, checked against a schema. */
import type { z } from '../preset/zod.ts';
import { ApiError, badRequest } from './api-error.ts';

/** Throws 415, 413 or 400. `signal` is that of the request. */
export async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  mostBytes: number,
): Promise<z.output<Schema>> {
  const type = request.headers.get('content-type') ?? '';
  // A page of another site may send a form or plain text without being asked for leave by its browser, and JSON only with it.
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new ApiError({
      status: 415,
      code: 'unsupported_media_type',
      message: 'the body must be application/json',
    });
  const bytes = await readBytes(request, mostBytes);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    throw badRequest('the body is not JSON', undefined, 'invalid_json');
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw badRequest(
    issue === undefined ? 'the body is not what is asked for here' : issue.message,
    issue === undefined ? undefined : nameOf(issue),
    issue?.code === 'unrecognized_keys' ? 'unknown_parameter' : 'invalid_value',
  );
}

/** `messages[0].content` */
function nameOf(issue: z.core.$ZodIssue): string | undefined {
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
  const name = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return name === '' ? undefined : name.replace(/^\./, '').slice(0, 100);
}

async function readBytes(request: Request, most: number): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge(most);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > most) break;
      chunks.push(chunk);
    }
  } catch {
    throw badRequest('the body broke off', undefined, 'invalid_json');
  }
  if (bytes > most) throw tooLarge(most);
  return Buffer.concat(chunks);
}

function tooLarge(most: number): ApiError {
  return new ApiError({
    status: 413,
    code: 'request_too_large',
    message: `the body has more than ${most} bytes`,
  });
}
