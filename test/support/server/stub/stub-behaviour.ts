/** What the stub does differently from a healthy server; every member can be changed while it runs. */
export interface Behaviour {
  /** Access control: off (the default of Rancher) turns unknown keys into the admin account. */
  auth: 'on' | 'off';
  /** `T` is known, or `/scripts/T` is a 404. */
  token: 'known' | 'bad';
  /** The registration keys are good, or every call with them is a 401 (auth on) or made as admin (auth off). */
  registrationToken: 'live' | 'revoked';
  script: 'ok' | 'sh-in-html' | 'inject' | 'crlf' | 'extra-line' | 'missing-url' | 'truncated';
  /** The server's configured Host Registration URL, e.g. `http://other:8080`; undefined: as it was asked. */
  apiHost: string | undefined;
  /** `DETECTED_CATTLE_AGENT_IP`; undefined: the address of the client. */
  detectedIp: string | undefined;
  register: 'ok' | 'never' | 'error' | 'removing' | 'duplicate' | 'no-keys' | 'vanishing';
  /** Milliseconds that a registration takes at least. */
  registerMs: number;
  /** Polls by id until a registration (or a new registration token) is active. */
  polls: number;
  /** Agent keys are good, or as if the host had been removed. */
  agentKeys: 'live' | 'revoked';
  /** PastureStack: agents are recognised only by the fallback that `X-ENFORCE-AUTHENTICATION` switches off. */
  agentsKnownByFallback: boolean;
  bootstrap: 'ok' | 'empty' | 'json' | 'html' | 'truncated' | 'no-shebang';
  /** A short script with an upgrade branch, or the whole of control-plane §5.3, perhaps with the differences of §8. */
  bootstrapShape: 'short' | 'rancher' | 'pasturestack';
  /**
   * What the short script does after its upgrade branch. `waits`: for a command of its own, and says so when it is told to
   * end. `hangs`: never connects to the server; the others hold a connection. `orphans`: leaves processes behind whose parents have ended.
   */
  bootstrapRun: 'exits' | 'fails' | 'runs-long' | 'hangs' | 'waits' | 'orphans';
  /**
   * What the agent does that the whole script downloads: nothing, or it holds a websocket to the server and exits with 0 when the
   * server closes it, with 1 when a newer agent was installed beside it (control-plane §5.4).
   */
  agentRun: 'stays' | 'websocket';
  /** Milliseconds that the download of one archive takes at least. */
  archiveMs: number;
  /** Milliseconds after which the server closes an agent's websocket; undefined: never. */
  connectionMs: number | undefined;
  /** The upgrade branch of cattle 0.183 (`timeout 300 docker run`) or of 0.165 (`docker run -d`). */
  upgradeStyle: 'timeout' | 'detached';
  /** One image, or several that alternate from request to request (`flip`). */
  requiredImages: readonly string[];
  schemasHeader: boolean;
  accountKindHeader: boolean;
  /** The default environment exists. */
  defaultProject: boolean;
  /** A registration token exists before anybody creates one. */
  tokenExists: boolean;
  /** `/scripts/ca.crt`: the text to serve (a PEM, perhaps twice), or undefined for a 404. */
  caCertificate: string | undefined;
  /** `externalhostevents` exists (cattle ≥ 0.177.1). */
  externalEvents: boolean;
}

/** A healthy Rancher server without access control. */
export function createBehaviour(changes: Partial<Behaviour> = {}): Behaviour {
  return {
    auth: 'off',
    token: 'known',
    registrationToken: 'live',
    script: 'ok',
    apiHost: undefined,
    detectedIp: undefined,
    register: 'ok',
    registerMs: 0,
    polls: 2,
    agentKeys: 'live',
    agentsKnownByFallback: false,
    bootstrap: 'ok',
    bootstrapShape: 'short',
    bootstrapRun: 'runs-long',
    agentRun: 'stays',
    archiveMs: 0,
    connectionMs: undefined,
    upgradeStyle: 'timeout',
    requiredImages: ['rancher/agent:v1.2.11'],
    schemasHeader: true,
    accountKindHeader: true,
    defaultProject: true,
    tokenExists: false,
    caCertificate: undefined,
    externalEvents: true,
    ...changes,
  };
}
