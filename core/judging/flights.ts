/** Equal questions that are under way at the same time are asked once. */
import { unlessAborted } from './clock.ts';

interface Flight<Value> {
  readonly answer: Promise<Value>;
  readonly stop: AbortController;
  waiting: number;
}

export class Flights<Value> {
  private readonly flights = new Map<string, Flight<Value>>();

  isUnderWay(key: string): boolean {
    return this.flights.has(key);
  }

  /** Joins the flight of that key, or starts it. It is stopped when all who wait for it have given up. */
  async join(key: string, start: (signal: AbortSignal) => Promise<Value>, signal: AbortSignal): Promise<Value> {
    const flight = this.flights.get(key) ?? this.begin(key, start);
    flight.waiting += 1;
    try {
      return await unlessAborted(flight.answer, signal);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        this.forget(key, flight);
        flight.stop.abort(signal.reason);
      }
    }
  }

  private begin(key: string, start: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const stop = new AbortController();
    const flight = { answer: start(stop.signal), stop, waiting: 0 };
    this.flights.set(key, flight);
    // Whoever waits is told of a failure.
    flight.answer.finally(() => this.forget(key, flight)).catch(() => undefined);
    return flight;
  }

  private forget(key: string, flight: Flight<Value>): void {
    if (this.flights.get(key) === flight) this.flights.delete(key);
  }
}
