/** What a short measurement on an adapter decides about kernels. None of it changes a bit of any result, only how long it takes. */
export interface KernelTuning {
  /** Broadcast tiles of a software adapter: products of so many rows or more take tiles of 32 rows, smaller ones of 16. */
  readonly tallTilesFrom: number;
  /** Workgroup tiles of a GPU: products of so many 128 x 128 tiles or more take them, smaller ones take 64 x 64. */
  readonly largeTilesFrom: number;
  /** `default`: nothing was measured. `recorded`: a resumed run keeps what it began with. */
  readonly source: 'default' | 'measured' | 'cache' | 'recorded';
}

export const defaultTuning: KernelTuning = { tallTilesFrom: 128, largeTilesFrom: 96, source: 'default' };
