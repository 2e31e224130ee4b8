/** A failure that may pass: whoever made the call may make it again. */
export class TryAgainError extends Error {
  /** How long the other side asks to be left alone. */
  readonly seconds: number | undefined;
  /** Nobody answered at all. */
  readonly isUnreachable: boolean;
  /** Where it was asked: an address, for messages. */
  readonly place: string | undefined;

  /** @param message what happened: `answered 503 Service Unavailable`, or why nobody answered */
  constructor(
    message: string,
    {
      seconds,
      isUnreachable = false,
      place,
      cause,
    }: {
      readonly seconds?: number | undefined;
      readonly isUnreachable?: boolean;
      readonly place?: string | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TryAgainError';
    this.seconds = seconds;
    this.isUnreachable = isUnreachable;
    this.place = place;
  }
}

/** Seconds to wait before trying again: doubled each time from `first` on. Half of them are by `chance`, 0 to 1, so that many callers do not come back together. */
export function backoffSeconds(
  doublings: number,
  chance: number,
  { first = 1, longest }: { readonly first?: number; readonly longest: number },
): number {
  return Math.min(longest, first * 2 ** doublings) * (0.5 + chance / 2);
}
