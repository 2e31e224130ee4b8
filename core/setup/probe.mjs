// Run in a child process with a driver's environment: prints the adapter WebGPU gives as one line of JSON, or null.
// A child, because the loader reads its environment once per process and a broken driver may crash the process.
import { create } from 'webgpu';

const adapter = await create([]).requestAdapter();
process.stdout.write(
  `${JSON.stringify(
    adapter && {
      vendor: adapter.info.vendor,
      architecture: adapter.info.architecture,
      device: adapter.info.device,
      description: adapter.info.description,
      halfPrecision: adapter.features.has('shader-f16'),
      subgroups: adapter.features.has('subgroups'),
    },
  )}\n`,
);
