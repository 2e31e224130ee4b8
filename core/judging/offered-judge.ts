/** A judge as rewards and benchmarks get it: with the name that the preset gives it. */
import { blamed } from '../blame.ts';
import type { Judge } from '../contracts/judge.ts';
import type { ComponentChoice } from '../contracts/preset.ts';
import { capabilitiesOf, refuseNoJudge } from './capabilities.ts';

export function offeredJudge(made: Judge, choice: ComponentChoice): Judge {
  const place = `judge "${choice.name}"${choice.plugin === undefined ? '' : ` of plugin "${choice.plugin}"`}`;
  refuseNoJudge(made, place);
  const judge = blamed(made, place);
  const methods = capabilitiesOf(made).map((capability) => [capability, judge[capability]] as const);
  return { title: made.title, fingerprint: made.fingerprint, name: choice.name, ...Object.fromEntries(methods) };
}
