import { describe, expect, it } from 'vitest';
import { EngineError, readErrorText } from '../../../src/engine/errors.ts';

describe('the engine’s words', () => {
  it.each([
    ['{"message":"no such image"}', 'no such image'],
    ['no such id: x\n', 'no such id: x'],
    ['{"other":1}', '{"other":1}'],
    ['"just a string"', '"just a string"'],
    ['  ', '(no message)'],
  ])('%j reads %j', (body, originalMessage) => {
    expect(readErrorText(body)).toBe(originalMessage);
  });

  it('are cut when a proxy sends a book', () => {
    expect(readErrorText('x'.repeat(10_000)).length).toBeLessThanOrEqual(2_000);
    expect(readErrorText(JSON.stringify({ message: 'x'.repeat(10_000) })).length).toBeLessThanOrEqual(2_000);
  });

  it('an answer that should not have come is garbled, not a refusal', () => {
    expect(new EngineError('create', 201, 'oops').kind).toBe('garbled');
  });
});
