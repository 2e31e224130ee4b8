/** What a program that embeds reasongen imports. Authors of plugins import `reasongen/plugin` instead. */
export { prepareDriver } from './driver.ts';
export { exitCodes, formatError, ProblemsError, ReasongenError } from './errors.ts';
export { explainError } from './failure.ts';
export { createLog, silentLog } from './log.ts';
export { loadPreset } from './preset/load.ts';
export { planStage } from './plan-stage.ts';
export { runPreset } from './runtime.ts';
export { createStop } from './stop.ts';
export type { DriverOptions } from './driver.ts';
export type { Preset } from './contracts/preset.ts';
export type { Plan } from './contracts/recipe.ts';
export type { Log, Progress } from './log.ts';
export type { LoadedPreset, LoadPresetOptions as LoadOptions, Stage } from './preset/load.ts';
export type { RuntimeOptions } from './runtime.ts';
export type { RunStop } from './stop.ts';
