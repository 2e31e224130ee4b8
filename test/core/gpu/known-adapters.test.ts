/** Cards that are not here: what is known of them, and the plans that `check --adapter` makes for them. */
import { describe, expect, test } from 'vitest';
import { cards } from '../../../core/cli/presets.ts';
import { knownAdapters } from '../../../core/gpu/known-adapters.ts';

test('the cards have names that one types', () => expect([...knownAdapters.keys()]).toEqual(cards));

describe.each([...knownAdapters])('%s', (_name, { limits, report, availableBytes, rates, sources }) => {
  test('its limits are those of a GPU, and each says where it is known from', () => {
    expect(limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
    expect(limits.maxStorageBufferBindingSize % 4).toBe(0);
    expect(limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(availableBytes).toBeGreaterThan(limits.maxStorageBufferBindingSize);
    expect(report.isSoftware).toBe(false);
    expect(sources.length).toBeGreaterThanOrEqual(2);
  });

  test.skipIf(rates === undefined)('its rates are of the size that cards have, and its source says them', () => {
    const { bytesPerSecond = 0, operationsPerSecond = 0 } = rates ?? {};
    expect(bytesPerSecond).toBeGreaterThan(1e11);
    expect(bytesPerSecond).toBeLessThan(1e13);
    const text = sources.join(' ');
    expect(text).toContain(`${operationsPerSecond / 1e12} TFLOP/s`);
    expect(text).toMatch(bytesPerSecond < 1e12 ? `${bytesPerSecond / 1e9} GB/s` : `${bytesPerSecond / 1e12} TB/s`);
  });
});

test('NVIDIA binds 2 GiB - 4', () => {
  for (const name of ['h100', 'a100', '4090'])
    expect(knownAdapters.get(name)?.limits.maxStorageBufferBindingSize).toBe(2 ** 31 - 4);
});
