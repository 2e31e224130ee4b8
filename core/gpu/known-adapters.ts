/**
 * Cards that a plan can be made for on another machine: what their drivers are known to allow and how fast they are by their data sheets, each
 * with where it is known from. Nothing here was measured by this program; on the card itself `reasongen check` asks the card.
 */
import type { AdapterReport } from './adapter-report.ts';
import type { MatrixShape } from './subgroup-matrices.ts';

export interface KnownAdapter {
  readonly title: string;
  /** Bytes that a run can have: of the card's memory, what driver and system leave. */
  readonly availableBytes: number;
  readonly limits: GPUSupportedLimits;
  readonly report: AdapterReport;
  /** At most, by the data sheet; absent where it does not say both. */
  readonly rates?: Rates;
  readonly sources: readonly string[];
}

/** How fast memory is read or written, and numbers of 32 bits are multiplied or added, without tensor cores. */
export interface Rates {
  readonly bytesPerSecond: number;
  readonly operationsPerSecond: number;
}

interface Card {
  readonly title: string;
  readonly vendor: string;
  readonly memory: number;
  /** Of its memory, what a run can have; 0.95 unless told. */
  readonly share?: number;
  readonly binding: number;
  readonly buffer: number;
  readonly buffers: number;
  readonly workgroupMemory: number;
  readonly subgroups: readonly [number, number];
  /** f16 → f32, as far as a source names it. */
  readonly matrix?: MatrixShape;
  /** TB/s, and TFLOP/s of f32. */
  readonly rates?: readonly [memory: number, arithmetic: number];
  readonly sources: readonly string[];
}

const GiB = 2 ** 30;

/** NVIDIA's Vulkan driver allows 4 GiB (wgpu#8105, on an H100); Dawn, which this program runs on, binds half of it there. */
const nvidia = {
  vendor: 'nvidia',
  binding: 2 * GiB - 4,
  buffer: 4 * GiB - 4,
  buffers: 16,
  workgroupMemory: 49152,
  subgroups: [32, 32],
  matrix: { M: 16, N: 16, K: 16 },
} as const;
const nvidiaSources = [
  'binding of 2 GiB - 4, buffers of 4 GiB - 4, 16 buffers a stage, 48 KiB of workgroup memory: reports of WebGPU on RTX 40 cards; gpuweb#6338 asks for more',
  'subgroups of 32, matrices of 16 x 16 x 16: onnxruntime#28109',
];

const cards: readonly (readonly [name: string, card: Card])[] = [
  [
    'h100',
    {
      ...nvidia,
      title: 'NVIDIA H100 (80 GB)',
      memory: 80 * GiB,
      rates: [3.35, 67],
      sources: ['80 GB, 3.35 TB/s, 67 TFLOP/s: data sheet of the H100 SXM', ...nvidiaSources],
    },
  ],
  [
    'a100',
    {
      ...nvidia,
      title: 'NVIDIA A100 (80 GB)',
      memory: 80 * GiB,
      rates: [2.039, 19.5],
      sources: ['80 GB, 2.039 TB/s, 19.5 TFLOP/s: data sheet of the A100 SXM', ...nvidiaSources],
    },
  ],
  [
    '4090',
    {
      ...nvidia,
      title: 'NVIDIA GeForce RTX 4090 (24 GB)',
      memory: 24 * GiB,
      rates: [1.008, 82.6],
      sources: ['24 GB, 1.008 TB/s, 82.6 TFLOP/s: data sheet of the RTX 4090', ...nvidiaSources],
    },
  ],
  [
    'mi300',
    {
      title: 'AMD Instinct MI300X (192 GB)',
      vendor: 'amd',
      memory: 192 * GiB,
      binding: 4 * GiB - 4,
      buffer: 4 * GiB - 8,
      buffers: 16,
      workgroupMemory: 65536,
      subgroups: [64, 64],
      rates: [5.3, 163.4],
      sources: [
        '192 GB, 5.3 TB/s, 163.4 TFLOP/s: data sheet of the MI300X',
        'binding of 4 GiB - 4, buffers a few bytes less: RADV of Mesa (radv_physical_device.c, vn_buffer.c); whether a Vulkan driver runs on the card is not known here',
      ],
    },
  ],
  [
    'arc',
    {
      title: 'Intel Arc B580 (12 GB)',
      vendor: 'intel',
      memory: 12 * GiB,
      binding: GiB - 4,
      buffer: GiB,
      buffers: 16,
      workgroupMemory: 32768,
      subgroups: [16, 32],
      matrix: { M: 8, N: 16, K: 16 },
      rates: [0.456, 13.67],
      sources: [
        '12 GB, 456 GB/s: data sheet of the B580; 13.67 TFLOP/s: 2560 lanes at 2.67 GHz',
        "binding of 1 GiB - 4: Vulkan-Profiles#621, of Intel's own driver; Mesa's allows more",
        'subgroups of 16 to 32: onnxruntime; matrices of 8 x 16 x 16, Mesa 25.2 or newer: llama.cpp#21669',
      ],
    },
  ],
  [
    'apple',
    {
      title: 'Apple M4 Max (64 GB, shared with the processor)',
      vendor: 'apple',
      memory: 64 * GiB,
      share: 0.75,
      binding: 4 * GiB - 4,
      buffer: 4 * GiB - 4,
      buffers: 10,
      workgroupMemory: 32768,
      subgroups: [32, 32],
      sources: [
        'three quarters of the memory: what Metal recommends as a working set (recommendedMaxWorkingSetSize) on Macs of this size',
        'binding of 4 GiB - 4: wgpu#6221, of an M3 Max; 10 buffers a stage: reports of WebGPU on Apple GPUs',
      ],
    },
  ],
];

/** By the name that `check --adapter` takes. */
export const knownAdapters: ReadonlyMap<string, KnownAdapter> = new Map(
  cards.map(([name, card]) => [name, describe(card)]),
);

function describe(card: Card): KnownAdapter {
  const { title, vendor, memory, share = 0.95, matrix, rates, sources } = card;
  const limits = {
    maxBufferSize: card.buffer,
    maxStorageBufferBindingSize: card.binding,
    maxStorageBuffersPerShaderStage: card.buffers,
    maxComputeWorkgroupStorageSize: card.workgroupMemory,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
  };
  return {
    title,
    availableBytes: Math.floor(memory * share),
    limits: limits as unknown as GPUSupportedLimits,
    report: {
      vendor,
      architecture: '',
      device: '',
      description: title,
      isSoftware: false,
      subgroupMinSize: card.subgroups[0],
      subgroupMaxSize: card.subgroups[1],
      features: ['shader-f16', 'subgroups'],
      matrices: matrix === undefined ? [] : [{ operands: 'f16', sums: 'f32', ...matrix }],
    },
    ...(rates && { rates: { bytesPerSecond: rates[0] * 1e12, operationsPerSecond: rates[1] * 1e12 } }),
    sources,
  };
}
