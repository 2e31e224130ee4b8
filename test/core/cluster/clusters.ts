/** Clusters of tests: every figure is set by hand. */
import type { Cluster } from '../../../core/cluster/cluster-file.ts';
import type { Workload } from '../../../core/cluster/workload.ts';

type Seconds = Record<keyof Cluster['seconds'], number>;
type Network = Record<keyof Cluster['network'], number>;

const figure = (value: number): { value: number; assumed: string } => ({ value, assumed: 'by the test' });

const figures = <Key extends string>(values: Readonly<Record<Key, number>>): Record<Key, ReturnType<typeof figure>> =>
  Object.fromEntries(Object.entries<number>(values).map(([key, value]) => [key, figure(value)])) as Record<
    Key,
    ReturnType<typeof figure>
  >;

/** A network that costs nothing, and work that takes no time, but for what is told. */
export function clusterOf(
  seconds: Partial<Seconds>,
  network: Partial<Network> = {},
  more: Partial<Omit<Cluster, 'seconds' | 'network'>> = {},
): Cluster {
  const none = { job: 0, drawing: 0, decoding: 0, call: 0, training: 0, update: 0, saving: 0 };
  const free = {
    ...{ roundTrip: 0, publish: Infinity, fetch: Infinity, fetchTogether: Infinity },
    ...{ gradients: Infinity, gradientLatency: 0 },
  };
  return {
    ...{ name: 'test', devices: 1, trainers: 'best', judges: 'elsewhere', callsAtOnce: 1, callsPerDrawing: 1 },
    judgedTogether: false,
    ...more,
    seconds: figures({ ...none, ...seconds }),
    network: figures({ ...free, ...network }),
  };
}

/** Failures in an hour of a device, and seconds until it is back. */
export function failuresOf(perDeviceHour: number, restart: number): Required<Cluster>['failures'] {
  return figures({ perDeviceHour, restart });
}

export function workload(more: Partial<Workload> = {}): Workload {
  return {
    jobs: [1, 1, 1, 1],
    updates: [4],
    tensors: [0],
    isAhead: false,
    spotCheck: 0,
    lockSeconds: 30,
    isThroughQueue: true,
    stepsBetweenSaves: 1_000_000,
    refillRounds: 0,
    ...more,
  };
}
