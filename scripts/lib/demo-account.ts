/** What the demo types on its host and what it shows of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandResult, TestHost } from '../../test/support/host/host.ts';
import type { Scene } from '../../test/support/scenes/scene.ts';

const AGENT = 'rancher-agent';
/** Beyond this a container's last words are no help in an account. */
const LOG_LINES = 40;
const LOOK_PAUSE_MS = 50;

/** One stage didn't end as expected. */
export class Unexpected extends Error {}

export class Account {
  readonly #scene: Scene;
  readonly #lines: string[] = [];
  #stage = '';
  #begun = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  get #host(): TestHost {
    return this.#scene.host;
  }

  say(text: string): void {
    for (const line of text.split('\n')) console.log(line === '' ? '' : `   ${line}`);
  }

  begin(title: string, text: string): void {
    this.#stage = title;
    this.#begun = Date.now();
    console.log(`\n── ${title}`);
    this.say(text);
  }

  /** Finishes a stage with what there is now. */
  async end(): Promise<void> {
    await this.showHost();
    const took = secondsSince(this.#begun);
    this.say(`as expected, after ${took}`);
    this.#lines.push(`${this.#stage.padEnd(52)} ${took.padStart(7)}`);
  }

  summarise(): void {
    console.log('\n── All stages ended as expected');
    for (const line of this.#lines) this.say(line);
  }

  /** Types a docker command on the host: shown as it is, with its exit status. */
  async docker(...args: string[]): Promise<CommandResult> {
    this.type('docker', ...args);
    const begun = Date.now();
    const result = await this.#host.tryDocker(...args);
    this.say(`  exit status ${result.status} after ${secondsSince(begun)}`);
    return result;
  }

  /** Shows a command as one would type it. */
  type(...words: string[]): void {
    this.say(`$ ${words.map(quote).join(' ')}`);
  }

  /** The output of a command, indented. */
  quote(text: string): void {
    this.say(
      text
        .trimEnd()
        .split('\n')
        .map((line) => `  | ${line}`)
        .join('\n'),
    );
  }

  /** Everybody on the host, and what the host's status says. */
  async showHost(): Promise<void> {
    this.say('containers');
    for (const { name, state, image } of await this.#host.containers())
      this.say(`  ${name.padEnd(30)} ${state.padEnd(10)} ${image}`);
    const { state, summary, hint } = await this.#scene.readStatus();
    this.say(`status: ${String(state)}: ${String(summary)}`);
    if (typeof hint === 'string') this.say(`  what to do: ${hint}`);
  }

  /**
   * Observes the host until `isOver`, and prints each change of its containers, with the time since it began to look.
   * @throws Unexpected after `seconds`
   */
  async watch(what: string, limitSeconds: number, isOver: () => Promise<boolean>): Promise<void> {
    const begun = Date.now();
    let shown = '';
    for (;;) {
      const over = await isOver();
      const present = (await this.#host.containers()).map(({ name, state }) => `${name} ${state}`).sort();
      const { state } = await this.#scene.readStatus();
      const line = `${present.join(', ')} (${String(state)})`;
      if (line !== shown) this.say(`  ${secondsSince(begun).padStart(7)}  ${line}`);
      shown = line;
      if (over) return;
      if (Date.now() - begun > limitSeconds * 1000)
        throw new Unexpected(`expected within ${limitSeconds} s: ${what}`);
      await sleep(LOOK_PAUSE_MS);
    }
  }

  /** For how long no container had the agent's name and ran, as the worker asked the engine. */
  showGap(): void {
    const requests = this.#host.proxy.requests.filter((it) => it.at >= this.#begun);
    const stop = requests.find((it) => it.path.endsWith('/stop'));
    const promotion = requests.findLast((it) => it.path.endsWith('/rename') && it.query['name'] === AGENT);
    if (stop === undefined || promotion?.endedAt === undefined) return;
    this.say(
      `between the stop of the old agent and the next ${AGENT}: ${seconds(promotion.endedAt - stop.at)}`,
    );
  }

  /** @throws Unexpected */
  expect(isSo: boolean, what: string): void {
    if (!isSo) throw new Unexpected(`expected: ${what}`);
  }

  async expectState(expected: string): Promise<void> {
    const { state } = await this.#scene.readStatus();
    this.expect(state === expected, `the state ${expected}, not ${String(state)}`);
  }

  /** The agent runs from this image. @returns its id */
  async expectAgent(image: string): Promise<string> {
    const agent = await this.#host.inspect(AGENT);
    this.expect(agent?.State.Running === true, `${AGENT} runs`);
    this.expect(
      agent?.Config.Image === image,
      `${AGENT} is created from ${image}, not ${agent?.Config.Image ?? '-'}`,
    );
    return agent?.Id ?? '';
  }

  /** What helps to understand a stage that failed. */
  async explainFailure(error: unknown): Promise<void> {
    console.log(`\n── NOT as expected: ${this.#stage}`);
    this.say(error instanceof Error ? error.message : String(error));
    await this.showHost();
    for (const { name } of await this.#host.containers()) {
      const { stdout, stderr } = await this.#host.tryDocker('logs', '--tail', String(LOG_LINES), name);
      this.say(`log of ${name}`);
      this.quote(stdout + stderr);
    }
  }
}

export function secondsSince(begun: number): string {
  return seconds(Date.now() - begun);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
