/** What happens when memory is not there: asked for first where the driver would crash, tried where only a trial tells, reported where it is lost. */
import { afterAll, describe, expect, test, vi } from 'vitest';
import { Device, openDevice } from '../../../core/gpu/device.ts';
import { PlanningDevice } from '../../../core/gpu/planning-device.ts';
import { misfit, refuseWhatCannotFit } from '../../../core/plan.ts';

/** What the machine says it has left. */
let left = 2 ** 40;
vi.mock('../../../core/gpu/host-memory.ts', () => ({ availableMemory: () => left }));

const real = await openDevice();
afterAll(() => real.close());

/** A GPU with so many bytes: buffers beyond them are errors, as Vulkan gives them. */
function smallGpu(capacity: number): { device: Device; report: (error: object) => void; live: () => number } {
  const model = (): GPUDevice =>
    new PlanningDevice({ ...limitsOf(real), maxBufferSize: 2 ** 32 } as GPUSupportedLimits, {
      ...real.adapter,
      isSoftware: false,
    }).gpu;
  const buffers = model();
  let used = 0;
  let scope: { failed: boolean } | undefined;
  let listener: ((event: { error: object; preventDefault(): void }) => void) | undefined;
  const gpu = Object.assign(model(), {
    addEventListener: (_name: string, heard: typeof listener) => (listener = heard),
    pushErrorScope: () => (scope = { failed: false }),
    popErrorScope: () => Promise.resolve(scope?.failed === true ? { message: 'out of memory' } : null),
    createBuffer: (wanted: GPUBufferDescriptor) => {
      const fits = used + wanted.size <= capacity;
      if (fits) used += wanted.size;
      else if (scope !== undefined) scope.failed = true;
      return Object.assign(buffers.createBuffer(wanted), { destroy: () => (fits ? (used -= wanted.size) : undefined) });
    },
  });
  const device = new Device(gpu, { ...real.adapter, isSoftware: false });
  return { device, report: (error) => listener?.({ error, preventDefault: () => undefined }), live: () => used };
}

function limitsOf(device: Device): Record<string, number> {
  const names = [
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupStorageSize',
  ] as const;
  return Object.fromEntries(names.map((name) => [name, device.limits[name]]));
}

describe('a GPU with memory of its own', () => {
  test('tells by trial whether so much is there, and how much is; the trial is given back', async () => {
    const { device, live } = smallGpu(5 * 2 ** 30);
    expect(await device.tryMemory(3 * 2 ** 30 + 17)).toBe(3 * 2 ** 30 + 17);
    expect(await device.tryMemory(40 * 2 ** 30)).toBe(5 * 2 ** 30);
    expect(live()).toBe(0);
    expect(device.memory.bytes).toBe(0);
  });

  test('that runs out is an error with its own exit code at the next look', () => {
    const { device, report } = smallGpu(2 ** 30);
    class GPUOutOfMemoryError {
      readonly message = 'no memory for a buffer';
    }
    report(new GPUOutOfMemoryError());
    expect(() => device.throwFailure()).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_MEMORY',
        exitCode: 4,
        message: 'the device reported: no memory for a buffer',
      }),
    );
    expect(() => device.throwFailure()).not.toThrow();
  });
});

test('the trial works on this adapter', async () => {
  expect(await real.tryMemory(3 * 2 ** 20)).toBe(3 * 2 ** 20);
});

describe('a software adapter, which crashes when memory is out', () => {
  const open = (bytesLeft: number): Device => {
    left = bytesLeft;
    return new Device(new PlanningDevice(real.limits, real.adapter).gpu, { ...real.adapter, isSoftware: true });
  };
  const refused = (label: string, need: string, has: string): unknown =>
    expect.objectContaining({
      code: 'OUT_OF_MEMORY',
      exitCode: 4,
      message: `"${label}" needs ${need} MiB; the machine has ${has} MiB left`,
    });

  test('is asked before it is given too much', () => {
    const device = open(100 * 2 ** 20);
    expect(() => device.createBuffer(90 * 2 ** 20, 'large')).not.toThrow();
    expect(() => device.createBuffer(120 * 2 ** 20, 'huge')).toThrow(refused('huge', '120', '100'));
    expect(device.memory.bytes).toBe(90 * 2 ** 20);
  });

  test('also when it is asked for much in small pieces', () => {
    const device = open(8 * 2 ** 20);
    const grab = (): void => {
      for (let i = 0; i < 10; i++) device.createBuffer(2 ** 21, `piece ${i}`);
    };
    expect(grab).toThrow(refused('piece 7', '2', '8'));
  });
});

describe('a plan', () => {
  const plan = { lines: [], bytes: { weights: 2 ** 30, programs: 3 * 2 ** 30 }, largestBinding: 2 ** 20 };
  const limits = { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 31 };

  test('fits, or is refused with need, room and the change that fits', async () => {
    expect(misfit(plan, { limits })).toBeUndefined();
    expect(misfit(plan, { limits, availableBytes: 2 ** 32 })).toBeUndefined();
    const small = { ...plan, bytes: { all: 2 ** 29 } };
    await expect(
      refuseWhatCannotFit(plan, { limits, availableBytes: 2 ** 31 }, () =>
        Promise.resolve({ change: 'recipe.microBatch: 4', plan: small }),
      ),
    ).rejects.toMatchObject({
      code: 'DOES_NOT_FIT',
      exitCode: 4,
      message: 'the run needs 4.0 GiB on the device, and 2.0 GiB are left',
      hint: 'the smallest change that fits is recipe.microBatch: 4, which needs 512 MiB',
    });
    await expect(
      refuseWhatCannotFit({ ...plan, largestBinding: 2 ** 28 }, { limits }, () => Promise.resolve(undefined)),
    ).rejects.toMatchObject({
      message: 'the largest buffer needs 256 MiB, and this adapter binds at most 128 MiB',
      hint: expect.stringContaining('smaller batches'),
    });
  });
});
