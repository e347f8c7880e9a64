import type { CredentialsState } from '../../../control-plane/credentials.ts';
import type { ServingObserver } from '../serving/record.ts';

/** Causes in the serving record. */
export const unreachableCause = 'server-unreachable';
export const refusedCause = 'keys-refused';

/** Reports what the server says about the keys. One refusal does not make them revoked. */
export function observeKeys(serving: ServingObserver | undefined, keys: CredentialsState): void {
  switch (keys.state) {
    case 'live':
      serving?.answered();
      break;
    case 'revoked':
      serving?.unanswered(refusedCause, `the server refuses the keys of this agent: ${keys.reason}`);
      break;
    case 'unknown':
      serving?.unanswered(unreachableCause, `the keys could not be checked: ${keys.reason}`);
      break;
  }
}
