import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stageScript } from '../../../src/agent/run/bootstrap/child.ts';
import { judgeBootstrap } from '../../../src/control-plane/bootstrap.ts';
import { parseRegistrationScript } from '../../../src/control-plane/registration/script.ts';
import { blankRequiredImage, readRequiredImage } from '../../../src/control-plane/required-image.ts';
import { describeUrl, parseServerUrl } from '../../../src/control-plane/url.ts';
import { ConfigurationError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { mark, spoilt } from '../../support/faults/spoilt.ts';
import { numRuns, seed, expectNothingExecuted, check } from './check.ts';
import { script, bootstrap, answer } from './honest-server.ts';

expectNothingExecuted();

describe('texts of the server', () => {
  it('registration script', () => {
    check(spoilt(script), (text) => {
      const parsed = parseRegistrationScript(text);
      if (!parsed.ok) return false;
      for (const value of Object.values(parsed.script)) expect(value ?? '').not.toMatch(/[$`"'\\\p{Cc}]/u);
      return true;
    });
  });

  it('bootstrap answer', () => {
    check(spoilt(bootstrap, '{"type":"error"}', '<html></html>'), (text) => {
      const judged = judgeBootstrap(answer(text));
      if (judged.ok) expect(judged.script).toMatch(/^#!\/bin\/bash\n[^\0]*\n$/);
      else expect(judged.reason).toBeTruthy();
      return judged.ok;
    });
  });

  it('a bootstrap script that bash looks at before it is run', async () => {
    const { signal } = new AbortController();
    const property = fc.asyncProperty(spoilt(bootstrap, `touch ${mark}\n`), async (text) => {
      const staged = await stageScript(text.replaceAll('\0', ''), [tmpdir()], defaultLimits, signal);
      await staged.dispose();
      expect(existsSync(mark)).toBe(false);
    });
    await fc.assert(property, { numRuns: Math.ceil(numRuns / 10), seed });
  });

  it('required image in a bootstrap script', () => {
    check(spoilt(bootstrap), (text) => {
      const image = readRequiredImage(text);
      if (image.kind === 'image') expect(image.image).toMatch(/^[a-z0-9][\w.:/@-]*$/i);
      const blanked = blankRequiredImage(text);
      if (blanked.ok) expect(blanked.script).toContain('REQUIRED_IMAGE=\n');
      return blanked.ok && image.kind === 'image';
    });
  });

  it('URLs: a token is never shown', () => {
    check(spoilt('http://rancher.example:8080/v1/projects/1a5/scripts/'), (prefix) => {
      const text = `${prefix}THET0KENOFTHETEST`;
      try {
        parseServerUrl(text, 'rancher-1.2');
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigurationError);
        expect((error as Error).message).not.toContain('THET0KENOFTHETEST');
      }
      if (/\/scripts\/+[^/?#\\]*$/.test(prefix)) expect(describeUrl(text)).not.toContain('THET0KENOFTHETEST');
      return undefined;
    });
  });
});
