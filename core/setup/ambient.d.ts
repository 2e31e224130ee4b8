/**
 * Types that the declarations of the package take from where they are used: those of the platform where it has them (the DOM of newer
 * compilers, @webgpu/types), else a stand-in. So they compile with any of these and with none; @webgpu/types contradicts the DOM.
 */
type Platform<Name extends string, StandIn> = typeof globalThis extends {
  readonly [Key in Name]: { readonly prototype: infer Type };
}
  ? Type
  : StandIn;

interface Labelled {
  readonly label: string;
}

/** Of node's `Buffer`, what a caller is promised. */
export type Buffer = Uint8Array & { toString(encoding?: 'base64' | 'base64url' | 'hex' | 'latin1' | 'utf8'): string };
export type GPUAdapter = Platform<'GPUAdapter', object>;
export type GPUAdapterInfo = Platform<'GPUAdapterInfo', object>;
export type GPUBindGroup = Platform<'GPUBindGroup', Labelled>;
export type GPUBindGroupLayout = Platform<'GPUBindGroupLayout', Labelled>;
export type GPUBuffer = Platform<'GPUBuffer', Labelled & { readonly size: number }>;
export type GPUCommandEncoder = Platform<'GPUCommandEncoder', Labelled>;
export type GPUComputePassEncoder = Platform<'GPUComputePassEncoder', Labelled>;
export type GPUComputePipeline = Platform<'GPUComputePipeline', Labelled>;
export type GPUDevice = Platform<'GPUDevice', Labelled>;
export type GPUFeatureName = string;
export type GPUSupportedLimits = Platform<'GPUSupportedLimits', { readonly [name: string]: number }>;
