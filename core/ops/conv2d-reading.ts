type Sides = readonly [height: number, width: number];

/** How one picture is read to make another: see kernels/conv2d/broadcast-16x32.wgsl. */
export interface Reading {
  readonly images: number;
  readonly out: Sides;
  readonly in: Sides;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly step: number;
  readonly sign: 1 | -1;
  readonly offset: number;
  readonly shift: 0 | 1;
}
