/**
 * The table of readiness §2, §3, as data: what a next agent on standby meets, and the result of the upgrade.
 * test/engine/readiness/readiness.test.ts runs every row from a hardened agent and, by the server's own script, from a
 * legacy agent.
 */
import type { ReadinessStage } from '../images/readiness-images.ts';

/** The result of an upgrade that meets a fault on standby. */
export interface ReadinessEnding {
  readonly state: 'failed' | 'deferred';
  readonly exitCode: 73 | 75 | 77;
  /** Stable code in the status file. */
  readonly cause: RegExp;
  /**
   * `untouched`: the next agent is removed, the old one goes on. `held`: the old one goes on, worker and next agent
   * stay. `promoted`: the new agent is active.
   */
  readonly host: 'untouched' | 'held' | 'promoted';
}

export interface ReadinessRow {
  readonly title: string;
  /** Of the image that the server requires. */
  readonly image: ReadinessStage;
  /** The faults of the server once the next agent is created, as scripts/stub-server accepts them. */
  readonly switches: readonly string[];
  readonly fromHardened: ReadinessEnding;
  readonly fromLegacy: ReadinessEnding;
}

const imageFails = (cause: RegExp): ReadinessEnding => ({
  state: 'failed',
  exitCode: 73,
  cause,
  host: 'untouched',
});
const serverFails = (cause: RegExp): ReadinessEnding => ({
  state: 'deferred',
  exitCode: 75,
  cause,
  host: 'untouched',
});

/** A legacy agent runs no bootstrap while the images differ: worker and next agent stay, and check again. */
const held: ReadinessEnding = { state: 'deferred', exitCode: 75, cause: /./, host: 'held' };
/** An image that cannot work at all is removed at once, and then nobody is active. */
const nobodyActive: ReadinessEnding = {
  state: 'failed',
  exitCode: 73,
  cause: /^no-active-agent$/,
  host: 'untouched',
};
const keysRevoked: ReadinessEnding = {
  state: 'failed',
  exitCode: 77,
  cause: /keys|revoked|credentials/,
  host: 'promoted',
};

const badImage = (title: string, image: ReadinessStage, cause: RegExp): ReadinessRow => ({
  title,
  image,
  switches: [],
  fromHardened: imageFails(cause),
  fromLegacy: held,
});
const badServer = (title: string, cause: RegExp, ...switches: readonly string[]): ReadinessRow => ({
  title,
  image: 'trusting',
  switches,
  fromHardened: serverFails(cause),
  fromLegacy: held,
});

export const readinessRows: readonly ReadinessRow[] = [
  { ...badImage('an image without bash', 'bashless', /^ready-programs-missing$/), fromLegacy: nobodyActive },
  badImage('an image that trusts less than the old one', 'sound', /^ready-server-tls$/),
  badImage(
    'an image whose curl refuses the server, while our own client reaches it',
    'curl-refuses',
    /^ready-curl/,
  ),
  badImage('an image that tells curl to trust a file that is not there', 'no-bundle', /^ready-curl/),
  badImage(
    'an image with a proxy variable that leads nowhere',
    'proxied',
    /^ready-server-(proxy|connection)$/,
  ),
  badImage("an image that cannot resolve the server's name", 'nameless', /^ready-server-dns$/),
  {
    ...badImage('an image whose agent gets other keys', 'other-keys', /^ready-keys-revoked$/),
    fromLegacy: nobodyActive,
  },
  {
    title: 'a server that answers 401 to the agent keys, whoever asks',
    image: 'trusting',
    switches: ['auth=on', 'agentkey=revoked'],
    fromHardened: keysRevoked,
    fromLegacy: keysRevoked,
  },
  badServer('a server that answers 429', /^ready-server-busy$/, 'any:status=429,json,1'),
  badServer('a server that answers 503', /^ready-server-busy$/, 'any:status=503,html'),
  badServer('a server that answers with a web page', /^ready-server-page$/, 'any:html200'),
  badServer('a server that takes requests and says nothing', /^ready-server-no-answer$/, 'any:hang-accept'),
];

const hosts: Readonly<Record<ReadinessEnding['host'], string>> = {
  untouched: 'the old agent is not touched',
  held: 'worker and next agent stay',
  promoted: 'the new agent is active',
};

/** For the title of a test. */
export function describeEnding({ state, exitCode, host }: ReadinessEnding): string {
  return `${state}, exit ${exitCode}, ${hosts[host]}`;
}
