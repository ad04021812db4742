/** The Avro schemas of the topics of the two-way sync. */
import { count, field, instant, map, nullable, oneOf, optional, record, text, topicSchema } from '../avro-fields.ts';
import type { DeclaredValue } from '../record-format.ts';
import {
  parseSyncCommand,
  parseSyncResult,
  syncCommandSerde,
  syncOperations,
  syncOutcomes,
  syncResultSerde,
  type SyncCommand,
  type SyncResult,
} from './command.ts';
import { entityNames, sides } from './entities.ts';
import {
  entityMappingSerde,
  parseEntityMapping,
  parseSyncConflict,
  syncConflictKinds,
  syncConflictSerde,
  type EntityMapping,
  type SyncConflict,
} from './mapping.ts';

const side = oneOf('Side', sides);
const entity = oneOf('Entity', entityNames);

export const syncCommandValue: DeclaredValue<SyncCommand> = {
  json: syncCommandSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSyncCommand,
    schema: topicSchema(
      'SyncCommand',
      field('eventId', text),
      field('mapId', text),
      field('entity', entity),
      field('side', side),
      field('operation', oneOf('SyncOperation', syncOperations)),
      field('version', count),
      optional('id', text),
      optional('otherId', text),
      field('values', map(nullable(text))),
    ),
  },
};

export const syncResultValue: DeclaredValue<SyncResult> = {
  json: syncResultSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSyncResult,
    schema: topicSchema(
      'SyncResult',
      field('eventId', text),
      field('mapId', text),
      field('side', side),
      field('outcome', oneOf('SyncOutcome', syncOutcomes)),
      optional('id', text),
      optional('version', count),
      optional('sqlState', text),
    ),
  },
};

export const entityMappingValue: DeclaredValue<EntityMapping> = {
  json: entityMappingSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseEntityMapping,
    schema: topicSchema(
      'EntityMapping',
      field('mapId', text),
      field('entity', entity),
      field('legacyId', text),
      field('revampId', text),
    ),
  },
};

const claim = record('Claim', field('side', side), optional('value', text), field('clock', instant));

export const syncConflictValue: DeclaredValue<SyncConflict> = {
  json: syncConflictSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSyncConflict,
    schema: topicSchema(
      'SyncConflict',
      field('mapId', text),
      field('entity', entity),
      field('kind', oneOf('SyncConflictKind', syncConflictKinds)),
      field('field', text),
      field('winner', claim),
      field('loser', claim),
    ),
  },
};
