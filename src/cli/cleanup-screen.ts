import type { CleanupScreen } from '../commands/cleanup.ts';
import type { Context } from '../commands/context.ts';
import type { CleanupProgress } from '../cleanup/remove-many.ts';
import type { Log } from '../support/log.ts';
import { createPaint } from './paint.ts';
import { describeProgress, renderBar, SpeedMeter } from './progress-bar.ts';
import { renderCleanupPlan, renderCleanupReport } from './render-cleanup.ts';

const clearLine = '\r\u001B[2K';

/**
 * What a person sees of a clean-up: on a terminal a bar that is drawn again and again, elsewhere a line now and then.
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
  const show = (progress: CleanupProgress): void => {
    const pace = speed.read(progress, clock.elapsed());
    if (drawsBar) {
      write(`${clearLine}${renderBar(progress, pace, terminal.columns, paint)}`);
      hasBar = true;
    } else context.log.info(describeProgress(progress, pace));
  };

  return {
    log: behindBar(context.log, clearBar),
    showPlan(survey, options) {
      if (!asJson) write(renderCleanupPlan(survey, options, { now: clock.now(), terminal, limits }));
    },
    async confirm(count, signal) {
      const containers = count === 1 ? 'it' : `each of these ${count}`;
      const question = `Look at ${containers} once more and remove what is leaked? [y/N] `;
      context.write(paint.strong(question), 'stderr');
      try {
        return /^y(es)?$/i.test((await keyboard.readLine(signal)).trim());
      } catch (error) {
        // Ctrl-C: what is said next begins a line of its own.
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
      write(
        asJson
          ? `${JSON.stringify(report, undefined, 2)}\n`
          : renderCleanupReport(report, { terminal, limits }),
      );
    },
  };
}

/** A log whose lines don't end up in the middle of the bar. */
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
    with: (fields) => behindBar(log.with(fields), clearBar),
  };
}
