import { ReasongenError } from '../errors.ts';
import type { Kernel } from './kernel.ts';
import { placeInFile } from './kernel-source.ts';

export interface Pipeline {
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiles a kernel; bind groups hold one binding per `var` of the file. Throws KERNEL_COMPILE with what the compiler said and where. */
export async function compilePipeline(gpu: GPUDevice, kernel: Kernel): Promise<Pipeline> {
  const module = gpu.createShaderModule({ code: kernel.code, label: kernel.label });
  const layout = gpu.createBindGroupLayout({
    label: kernel.label,
    entries: kernel.bindings.map(({ index, access }) => ({
      binding: index,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: access === 'uniform' ? 'uniform' : access === 'read' ? 'read-only-storage' : 'storage' },
    })),
  });
  try {
    const pipeline = await gpu.createComputePipelineAsync({
      label: kernel.label,
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    return { kernel, pipeline, layout };
  } catch (cause) {
    const { messages } = await module.getCompilationInfo();
    throw compileError(kernel, messages, cause);
  }
}

/** What the compiler said, each line with its place in the file where it was written; the first is the place of the error. */
function compileError(kernel: Kernel, messages: readonly GPUCompilationMessage[], cause: unknown): ReasongenError {
  const said = messages.map(({ lineNum, linePos, message, type }) => ({
    type,
    place: placeInFile(kernel, lineNum, linePos),
    message,
  }));
  const first = said.find(({ type }) => type === 'error');
  // Faults of the whole (no `main`, too large a workgroup) have no place; the line behind the first says where Dawn was.
  const [reason = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  return new ReasongenError({
    code: 'KERNEL_COMPILE',
    message: [
      `kernel ${kernel.label} does not compile: ${first?.message ?? reason}`,
      ...said.filter((each) => each !== first).map(({ place, message }) => `  ${place} ${message}`),
    ].join('\n'),
    place: first?.place ?? kernel.files[0]?.path,
    cause,
  });
}
