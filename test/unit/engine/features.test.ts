import { describe, expect, it } from 'vitest';
import { featuresOf, lowerVersion } from '../../../src/engine/features.ts';

const since123 = ['userNamespace', 'pidsLimit', 'equalsInSecurityOptions'];

describe('what an engine can do', () => {
  it.each([
    ['1.22', []],
    ['1.23', ['restartUpdate', ...since123]],
    ['1.24', ['restartUpdate', ...since123]],
    ['1.25', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection']],
    ['1.30', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions']],
    ['1.40', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions']],
    [
      '1.41',
      ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions', 'cgroupNamespace'],
    ],
    [
      '1.52',
      ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions', 'cgroupNamespace'],
    ],
    ['2.0', []],
    ['nonsense', []],
  ])('%s: %j', (api, able) => {
    const features = Object.entries(featuresOf(api)).filter(([, isAble]) => isAble);
    expect(features.map(([name]) => name).sort()).toEqual([...able].sort());
  });

  it('1.9 is lower than 1.22: versions are no decimal numbers', () => {
    expect(lowerVersion('1.9', '1.22')).toBe('1.9');
    expect(lowerVersion('1.100', '1.41')).toBe('1.41');
  });
});
