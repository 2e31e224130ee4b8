/** An RGB picture: `data` is row-major, height × width × 3 bytes. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}
