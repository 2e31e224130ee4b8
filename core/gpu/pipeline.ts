import { ReasongenError } from '../errors.ts';
import type { Kernel } from './kernel.ts';

export interface Pipeline {
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiles a kernel; bind groups hold one binding per `var` of the file. Throws KERNEL_COMPILE with the compiler's lines. */
export async function compilePipeline(gpu: GPUDevice, kernel: Kernel): Promise<Pipeline> {
  const module = gpu.createShaderModule({ code: kernel.source, label: kernel.label });
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
    const lines = messages.map(({ lineNum, linePos, message }) => `  line ${lineNum}:${linePos} ${message}`);
    throw new ReasongenError({
      code: 'KERNEL_COMPILE',
      message: `kernels/${kernel.label.replace(' ', '.wgsl ')} does not compile\n${lines.join('\n') || String(cause)}`,
      cause,
    });
  }
}
