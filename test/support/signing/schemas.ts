/** What the specifications of in-toto and SLSA ask for, for a validator of JSON schemas. */
import { Ajv } from 'ajv';

/** @returns the errors that the schema finds in the value */
export function findFaults(schema: object, value: unknown): unknown {
  const validate = new Ajv({ allErrors: true }).compile(schema);
  return validate(value) ? [] : validate.errors;
}

const digestSet = {
  type: 'object',
  minProperties: 1,
  additionalProperties: { type: 'string', pattern: '^[0-9a-f]+$' },
};
const uri = { type: 'string', pattern: '^[a-z][a-z0-9+.-]*:.' };

/** In-toto Statement v0.1, by its specification. */
export const statementSchema = {
  type: 'object',
  required: ['_type', 'subject', 'predicateType', 'predicate'],
  additionalProperties: false,
  properties: {
    _type: { const: 'https://in-toto.io/Statement/v0.1' },
    predicateType: uri,
    subject: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['name', 'digest'],
        additionalProperties: false,
        properties: { name: { type: 'string', minLength: 1 }, digest: digestSet },
      },
    },
    predicate: { type: 'object' },
  },
};

/** SLSA provenance v1, the fields that are used here, by its specification. */
export const provenanceSchema = {
  type: 'object',
  required: ['buildDefinition', 'runDetails'],
  additionalProperties: false,
  properties: {
    buildDefinition: {
      type: 'object',
      required: ['buildType', 'externalParameters'],
      additionalProperties: false,
      properties: {
        buildType: uri,
        externalParameters: { type: 'object' },
        internalParameters: { type: 'object' },
        resolvedDependencies: {
          type: 'array',
          items: {
            type: 'object',
            required: ['uri', 'digest'],
            additionalProperties: false,
            properties: { uri, digest: digestSet, name: { type: 'string' } },
          },
        },
      },
    },
    runDetails: {
      type: 'object',
      required: ['builder'],
      additionalProperties: false,
      properties: {
        builder: { type: 'object', required: ['id'], additionalProperties: false, properties: { id: uri } },
        metadata: { type: 'object' },
      },
    },
  },
};

export interface Envelope {
  readonly payloadType: string;
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

export interface Statement {
  readonly predicateType: string;
  readonly subject: unknown;
  readonly predicate: unknown;
}
