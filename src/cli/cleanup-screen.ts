import type { Context } from '../commands/context.ts';
import type { CleanupScreen } from '../cleanup/clean-up-host.ts';
import type { RemovalProgress } from '../cleanup/removal.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import type { Log } from '../support/log.ts';
import { safeValue } from '../support/secrets.ts';
import { createPaint } from './paint.ts';
import { describeProgress, renderBar, SpeedMeter } from './progress-bar.ts';
import { renderCleanupJson, renderCleanupPlan, renderCleanupReport } from './render-cleanup.ts';

const clearLine = '\r\u001B[2K';

/**
 * What a person sees of a cleanup: on a terminal a bar that is redrawn, elsewhere a line every few seconds.
 * @param asJson nothing but the report, as JSON, on stdout
 */
export function createCleanupScreen(context: Context, asJson: boolean): CleanupScreen {
  const { terminal, clock, secrets, configuration, keyboard } = context;
  const { limits } = configuration;
  const paint = createPaint(terminal.colour);
  const speed = new SpeedMeter(limits.RATE_WINDOW);
  const drawsBar = terminal.interactive && !asJson;
  let hasBar = false;
  let shownAt = Number.NEGATIVE_INFINITY;

  const write = (text: string): void => {
    context.write(secrets.scrub(text), 'stdout');
  };
  const clearBar = (): void => {
    if (hasBar) write(clearLine);
    hasBar = false;
  };
  const show = (progress: RemovalProgress): void => {
    const rate = speed.read(progress, clock.elapsed());
    if (drawsBar) {
      write(`${clearLine}${renderBar(progress, rate, terminal.columns, paint)}`);
      hasBar = true;
    } else context.log.info(describeProgress(progress, rate));
  };

  return {
    log: behindBar(context.log, clearBar),
    showPlan(scan, options) {
      if (!asJson) write(renderCleanupPlan(scan, options, { now: clock.now(), terminal, limits }));
    },
    async confirm(count, signal) {
      const containers = count === 1 ? 'it' : `each of these ${count}`;
      const question = `Inspect ${containers} again and remove what is leaked? [y/N] `;
      context.write(paint.strong(question), 'stderr');
      try {
        return /^y(es)?$/i.test((await keyboard.readLine(signal)).trim());
      } catch (error) {
        // Ctrl-C: the next message begins a line of its own.
        context.write('\n', 'stderr');
        throw error;
      }
    },
    showProgress(progress) {
      const now = clock.elapsed();
      speed.note(progress, now);
      const pause = drawsBar ? limits.SCREEN_TICK : limits.CLEANUP_GLANCE;
      if (now - shownAt < pause) return;
      shownAt = now;
      show(progress);
    },
    showReport(report) {
      clearBar();
      if (asJson)
        writeParts(renderCleanupJson(report, safeValue(secrets)), (text) => context.write(text, 'stdout'));
      else writeParts(renderCleanupReport(report, { terminal, limits }), write);
    },
  };
}

/** In pieces of WRITTEN_PIECE characters: one text of 100,000 containers, and its copies, would fill the memory. */
function writeParts(parts: Iterable<string>, write: (text: string) => void): void {
  let piece: string[] = [];
  let size = 0;
  for (const part of parts) {
    piece.push(part);
    size += part.length;
    if (size < fixedLimits.WRITTEN_PIECE) continue;
    write(piece.join(''));
    piece = [];
    size = 0;
  }
  write(piece.join(''));
}

/** A log whose lines take the place of the bar. */
function behindBar(log: Log, clearBar: () => void): Log {
  const behind =
    (level: 'debug' | 'info' | 'warn' | 'error'): Log['info'] =>
    (message, fields) => {
      clearBar();
      log[level](message, fields);
    };
  return {
    debug: behind('debug'),
    info: behind('info'),
    warn: behind('warn'),
    error: behind('error'),
  };
}
