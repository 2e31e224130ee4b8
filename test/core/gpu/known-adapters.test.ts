/** Cards that are not here: what is known of them, and the plans that `check --adapter` makes for them. */
import { describe, expect, test } from 'vitest';
import { cards } from '../../../core/cli/presets.ts';
import { knownAdapters } from '../../../core/gpu/known-adapters.ts';

test('the cards have names that one types', () => expect([...knownAdapters.keys()]).toEqual(cards));

describe.each([...knownAdapters])('%s', (_name, { limits, report, availableBytes, sources }) => {
  test('its limits are those of a GPU, and each says where it is known from', () => {
    expect(limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
    expect(limits.maxStorageBufferBindingSize % 4).toBe(0);
    expect(limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(availableBytes).toBeGreaterThan(limits.maxStorageBufferBindingSize);
    expect(report.isSoftware).toBe(false);
    expect(sources.length).toBeGreaterThanOrEqual(2);
  });
});

test('NVIDIA binds 2 GiB - 4', () => {
  for (const name of ['h100', 'a100', '4090'])
    expect(knownAdapters.get(name)?.limits.maxStorageBufferBindingSize).toBe(2 ** 31 - 4);
});
