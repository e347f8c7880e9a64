import type { HttpResponse } from '../../../src/control-plane/http/message.ts';
import { composeBootstrap } from '../../support/server/stub/stub-bootstrap.ts';
import { createBehaviour } from '../../support/server/stub/stub-behaviour.ts';

/* The answers of an honest server, which each case damages. */

export const script = `#!/bin/sh

export CATTLE_REGISTRATION_ACCESS_KEY="registrationToken"
export CATTLE_REGISTRATION_SECRET_KEY="C0FFEE:1451606400000:signature"
export CATTLE_URL="http://rancher.example:8080/v1"
export DETECTED_CATTLE_AGENT_IP="10.0.0.1"
`;
export const bootstrap = composeBootstrap(createBehaviour(), 'rancher/agent:v1.2.11', '10.0.0.1');
export const answer = (text: string, status = 200): HttpResponse => ({
  status,
  text,
  headers: {},
  url: 'http://rancher.example:8080/v1',
});
