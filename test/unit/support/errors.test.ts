import { describe, expect, it } from 'vitest';
import { EngineError } from '../../../src/engine/errors.ts';
import {
  ConfigurationError,
  exitCodeOf,
  InterruptedError,
  messageOf,
  messageBeyond,
  systemCodeOf,
  TryAgainLaterError,
} from '../../../src/support/errors.ts';

describe('errors', () => {
  it('become exit statuses', () => {
    expect(exitCodeOf(new ConfigurationError('x'))).toBe(78);
    expect(exitCodeOf(new TryAgainLaterError('x'))).toBe(75);
    expect(exitCodeOf(new InterruptedError('SIGTERM'))).toBe(143);
    expect(exitCodeOf(new InterruptedError('SIGINT'))).toBe(130);
    expect(exitCodeOf(new TypeError('a defect'))).toBe(70);
    expect(exitCodeOf('a string')).toBe(70);
  });

  it('carry name, hint, words and cause', () => {
    const cause = new Error('inner');
    expect(new ConfigurationError('x', { hint: 'h', originalMessage: 's', cause })).toMatchObject({
      name: 'ConfigurationError',
      hint: 'h',
      originalMessage: 's',
      cause,
    });
    expect('cause' in new ConfigurationError('x')).toBe(false);
  });

  it('have messages and system codes, whatever was thrown', () => {
    expect(messageOf('text')).toBe('text');
    expect(systemCodeOf(Object.assign(new Error(), { code: 'ENOENT' }))).toBe('ENOENT');
    expect(systemCodeOf(Object.assign(new Error(), { code: 7 }))).toBeUndefined();
    expect(systemCodeOf({ code: 'ENOENT' })).toBeUndefined();
  });
});

describe("the engine's own words", () => {
  it('are said once, also where they are the message already', () => {
    const error = new EngineError('remove container x', 500, 'device or resource busy');
    expect(messageBeyond(error.message, error.originalMessage)).toBe('');
    expect(messageBeyond('the worker could not be made', error.originalMessage)).toBe(
      'device or resource busy',
    );
    expect(messageBeyond('no engine', undefined)).toBe('');
  });
});
