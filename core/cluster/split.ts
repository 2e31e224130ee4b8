/** Which devices of a cluster had best train, draw and judge: every likely split is simulated. */
import type { Cluster } from './cluster-file.ts';
import { simulate, type Prediction, type DeviceSplit } from './simulate.ts';
import type { Workload } from './workload.ts';

/** Steps that are simulated: of the splits among which is chosen, and of the one that is, which also has failures. */
const stepsTried = 2;
const stepsTold = 20;
const stepsWithFailures = 200;

/** A split is better when a step takes less than this share of the other's time: else it takes more devices for nothing. */
const clearlyLess = 0.98;

/** What is predicted for so many devices, with the best split that the file allows; undefined where it allows none. */
export function predict(workload: Workload, cluster: Cluster, devices: number): Prediction | undefined {
  const { failures, ...unfailing } = cluster;
  let best: Prediction | undefined;
  for (const split of splits(workload, cluster, devices)) {
    const tried = simulate(workload, unfailing, split, { steps: stepsTried });
    if (best === undefined || tried.seconds < best.seconds * clearlyLess) best = tried;
  }
  if (best === undefined) return undefined;
  return simulate(workload, cluster, best.split, { steps: failures === undefined ? stepsTold : stepsWithFailures });
}

/** Fewer devices first. More of a kind than have something to do are not tried: they are spare. */
function splits(workload: Workload, cluster: Cluster, devices: number): DeviceSplit[] {
  const { trainers, judges, callsAtOnce, callsPerDrawing } = cluster;
  const { jobs, updates } = workload;
  const calls = jobs.reduce((sum, drawings) => sum + drawings, 0) * callsPerDrawing;
  const mostJudges = Math.min(devices - 1, Math.ceil(calls / callsAtOnce));
  const judging = judges === 'elsewhere' || jobs.length === 0 ? [0] : judges === 'best' ? counts(mostJudges) : [judges];
  const mostTrainers = Math.max(...updates);
  return judging.flatMap((judgingDevices) => {
    const left = devices - judgingDevices;
    const training = trainers === 'best' ? counts(Math.min(left, mostTrainers)) : [trainers];
    return training
      .filter((count) => count <= left)
      .flatMap((count): DeviceSplit[] => {
        const alone = { trainers: count, workers: 0, judges: judgingDevices };
        const workers = Math.min(left - count, jobs.length);
        return workers === 0 ? [alone] : [alone, { ...alone, workers }];
      });
  });
}

/** 1, 2, 3, 4, 6, 8, 12, 16, … and the largest. */
function counts(largest: number): number[] {
  const found: number[] = [];
  for (let count = 1; count < largest; count += 2 ** Math.max(0, Math.floor(Math.log2(count)) - 1)) found.push(count);
  return largest < 1 ? [] : [...found, largest];
}
