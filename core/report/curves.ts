/** Which of a run's numbers are drawn together, under which title. Numbers nobody named here are drawn too, each by itself. */
import type { ChartPlan } from '../page/answers.ts';

export const chartPlans: readonly ChartPlan[] = [
  { title: 'Loss', unit: 'nats per token', metrics: ['loss', 'text/crossEntropy', 'image/crossEntropy'] },
  { title: 'Reward', unit: 'mean of the drawings of a step', metrics: ['reward', 'reward/'] },
  { title: 'Entropy', unit: 'nats per token', metrics: ['text/entropy', 'image/entropy'] },
  { title: 'Kept groups', unit: 'share of groups with variance', metrics: ['keptShare'], range: [0, 1] },
  { title: 'Gradient norm', unit: 'before clipping', metrics: ['gradientNorm'] },
  { title: 'Clipped tokens', unit: 'share of tokens whose ratio is clipped', metrics: ['clipFraction'] },
  { title: 'KL divergence', unit: 'nats per token', metrics: ['kl'] },
  { title: 'Time of a step', unit: 'seconds', metrics: ['secondsSampling', 'secondsJudging', 'secondsTraining'] },
  { title: 'Sampler against scorer', unit: 'largest difference of log-probabilities', metrics: ['ratioDifference'] },
];
