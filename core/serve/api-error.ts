/** Refusals as OpenAI's clients read them. Their texts are made here, of nothing but the request: no path, no key, no message of another program. */
import { ReasongenError } from '../errors.ts';

/** `type` of an error, as OpenAI has them. */
type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'timeout_error'
  | 'server_error';

export interface ApiErrorFields {
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 421 | 429 | 500 | 503 | 504;
  readonly code: string;
  readonly message: string;
  /** The field of the body it is about: `messages[0].content`. */
  readonly param?: string | undefined;
  /** Seconds after which asking again may help: Retry-After. */
  readonly retryAfter?: number;
}

const types: Readonly<Record<ApiErrorFields['status'], ErrorType>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  405: 'invalid_request_error',
  408: 'timeout_error',
  413: 'invalid_request_error',
  415: 'invalid_request_error',
  421: 'permission_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
  504: 'timeout_error',
};

/** Most characters of a message: it may quote what was sent. */
const longestMessage = 500;

export class ApiError extends Error {
  readonly fields: ApiErrorFields;

  constructor(fields: ApiErrorFields) {
    super(fields.message.length <= longestMessage ? fields.message : `${fields.message.slice(0, longestMessage)}…`);
    this.name = 'ApiError';
    this.fields = fields;
  }

  /** The body of the answer. */
  get body(): { readonly error: Readonly<Record<'message' | 'type' | 'param' | 'code', string | null>> } {
    const { status, param = null, code } = this.fields;
    return { error: { message: this.message, type: types[status], param, code } };
  }

  get headers(): Record<string, string> {
    const { status, retryAfter } = this.fields;
    return {
      ...(retryAfter !== undefined && { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    };
  }
}

export function badRequest(message: string, param?: string, code = 'invalid_value'): ApiError {
  return new ApiError({ status: 400, code, message, param });
}

/** Errors of the program that are about what was asked; their messages hold nothing but that. */
const ofTheRequest: Readonly<Record<string, { readonly code: string; readonly param: string }>> = {
  PROMPT_TOO_LONG: { code: 'context_length_exceeded', param: 'prompt' },
  RATIONALE_TOO_LONG: { code: 'context_length_exceeded', param: 'rationale' },
  PICTURE_SHAPE: { code: 'invalid_image', param: 'messages' },
};

/** Any thrown value as a refusal; what is nobody's business but the operator's is an error without details. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const known = error instanceof ReasongenError ? ofTheRequest[error.code] : undefined;
  if (error instanceof ReasongenError && known !== undefined) return badRequest(error.message, known.param, known.code);
  return new ApiError({
    status: 500,
    code: 'server_error',
    message: 'the server has failed with this request; its log says why',
  });
}
