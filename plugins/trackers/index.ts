/** Trackers: extensions that tell other programs of a run, while it goes and when it has ended. */
import { definePlugin } from '../../core/plugin.ts';
import { mlflow } from './mlflow.ts';
import { notify } from './notify.ts';
import { tensorboard } from './tensorboard.ts';
import { trackio } from './trackio.ts';
import { wandb } from './wandb.ts';

export default definePlugin({ name: 'trackers', provides: [tensorboard, mlflow, trackio, wandb, notify] });
