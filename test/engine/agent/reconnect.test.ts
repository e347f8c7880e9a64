import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { simulateOffline } from '../../support/simulation/reconnect-simulation.ts';
import { limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };

let scene: Scene;
let listener: Listener;

beforeAll(async () => {
  scene = await startScene({ name: 'reconnect', stub: { agents: [keys] } });
  listener = await Listener.start(scene.host.gateway);
  scene.server.fault('bootstrap', { text: listener.script });
});
afterEach(async () => {
  listener.lifeMs = Infinity;
  scene.server.behaviour.agentKeys = 'live';
  await scene.host.reset();
});
afterAll(async () => {
  await listener.close();
  await scene.close();
});

interface Connection {
  readonly from: number;
  to: number | undefined;
}

/** The server's end of the agent's connection: closes each one after a while. The bootstrap exits with 0 then, as the real agent. */
class Listener {
  lifeMs = Infinity;
  readonly connections: Connection[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#accept(socket);
    });
  }

  static async start(host: string): Promise<Listener> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    return new Listener(server);
  }

  get script(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `#!/bin/bash\nexec 3<>/dev/tcp/${address}/${port}\ncat <&3 >/dev/null\nexit 0\n`;
  }

  #accept(socket: Socket): void {
    const connection: Connection = { from: performance.now(), to: undefined };
    this.connections.push(connection);
    this.#sockets.add(socket);
    const timer = Number.isFinite(this.lifeMs) ? setTimeout(() => socket.end(), this.lifeMs) : undefined;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      connection.to = performance.now();
      this.#sockets.delete(socket);
    });
    socket.resume();
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.end();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}

/** A fifth of the real ones, so that a connection of 6 s stands for one of 30 s. */
const fifth = { BOOTSTRAP_PAUSE_MIN: 1_000, BOOTSTRAP_JITTER: 400, BOOTSTRAP_LASTED: 4_000 };
const lifeMs = 6_000;
const pauses = 8;
/** What the simulation leaves out, per connection: two requests, bash, the look at the stamps, on a loaded machine. */
const startUpMs = 600;
/**
 * Of eight pauses the chance differs from that of thousands, by this much at most: 1.2 s more or less 0.2 s. The end of a run
 * counts as online here until the socket is closed.
 */
const chancePercent = 2.5;

describe('an agent whose connections live for a while only', () => {
  it('is offline for the share of time that the simulation says', async () => {
    listener.lifeMs = lifeMs;
    listener.connections.length = 0;
    await scene.startAgent(keys, ...limits(fifth));
    const ended = await scene.waitFor(
      `${pauses + 1} connections`,
      () => {
        const found = listener.connections.filter(({ to }) => to !== undefined);
        return Promise.resolve(found.length > pauses ? found : undefined);
      },
      (2 * pauses * lifeMs) / 1_000,
    );
    const [first, last] = [ended[0], ended[pauses]];
    const total = (last?.to ?? 0) - (first?.from ?? 0);
    const online = ended.slice(0, pauses + 1).reduce((sum, { from, to = from }) => sum + to - from, 0);
    const measured = (100 * (total - online)) / total;
    const least = await simulateOffline({ lifeMs, limits: fifth });
    const most = await simulateOffline({ lifeMs, limits: fifth, startUpMs });
    console.log(`offline ${measured.toFixed(1)} %, simulated ${least.toFixed(1)} to ${most.toFixed(1)} %`);
    expect(measured).toBeGreaterThan(least - chancePercent);
    expect(measured).toBeLessThan(most + chancePercent);
  });

  it('is back within seconds when the server has refused its keys for a moment', async () => {
    listener.connections.length = 0;
    const from = scene.server.requestsTo('configcontent-schema').length;
    await scene.startAgent(keys, ...limits({ ...fifth, BOOTSTRAP_SPREAD: 3_000 }));
    await scene.waitFor('a connection', () =>
      Promise.resolve(listener.connections.length > 0 ? true : undefined),
    );
    // Long enough for a connection that lasted.
    await new Promise((resolve) => setTimeout(resolve, fifth.BOOTSTRAP_LASTED + 500));
    scene.server.behaviour.agentKeys = 'revoked';
    const before = scene.server.requestsTo('configcontent-schema').length;
    expect(before).toBeGreaterThan(from);
    listener.closeAll();
    await scene.waitFor('a refusal, by both probes', () =>
      Promise.resolve(
        scene.server.requestsTo('configcontent-schema').length >= before + 2 ? true : undefined,
      ),
    );
    scene.server.behaviour.agentKeys = 'live';
    const liveAt = performance.now();
    await scene.waitFor('the next connection', () =>
      Promise.resolve(listener.connections.length > 1 ? true : undefined),
    );
    expect(performance.now() - liveAt).toBeLessThan(10_000);
    expect(await scene.readStatusText()).not.toContain('keys-revoked');
  });
});
