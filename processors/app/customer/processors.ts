/** The steps of the customer merge: each takes the state of its key, asks a pure function, keeps the new state and forwards what follows. */
import { StreamError, defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { NoStores, ProcessorContext, StreamRecord } from '../../../index.ts';
import { changeRef, type SourceChange } from '../../../schemas/app/customer/change.ts';
import type { ConflictEvent } from '../../../schemas/app/customer/conflict-event.ts';
import type { ContributionChange } from '../../../schemas/app/customer/contribution.ts';
import type { SourceSystem } from '../../../schemas/app/customer/fields.ts';
import { mergeStateSerde } from '../../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged, DetachedCustomer } from '../../../schemas/app/customer/merged.ts';
import type { StewardOverrides } from '../../../schemas/app/customer/override.ts';
import type { CustomerPolicy } from '../../../schemas/app/customer/policy.ts';
import { sourceRecordSerde, type SourceRecord } from '../../../schemas/app/customer/source-record.ts';
import type { EdgeValue } from '../../../schemas/app/record-format.ts';
import { decodeChange } from './decode.ts';
import { applyChange } from './identity.ts';
import { applyContribution, applyOverrides, type MergeResult } from './merge.ts';
import { isRejection } from './rejection.ts';

/** The latest of each source record, by reference. */
export const sourceRecords = defineStore('source-records', { key: stringSerde, value: sourceRecordSerde });

/** Everything that is known of an e-mail address. */
export const customerStates = defineStore('customers', { key: stringSerde, value: mergeStateSerde });

/** What a decoded change is forwarded as: keyed by the reference of its source record. */
export function decodeStep(source: SourceSystem) {
  return defineProcessor({
    name: source === 'system_a' ? 'decode-a' : 'decode-b',
    process(
      record: StreamRecord<EdgeValue | null, EdgeValue | null>,
      context: ProcessorContext<string, SourceChange, NoStores>,
    ) {
      const { key, value, headers, timestampMs } = record;
      const result = decodeChange({ source, key, value, headers, timestampMs });
      if (isRejection(result))
        throw new StreamError('RECORD_INVALID', `not a customer change: ${result.detail}`, {
          facts: { reason: result.code },
        });
      if (result.kind === 'skip') {
        context.drop('refused');
        return;
      }
      for (const change of result.changes) context.forward({ key: changeRef(change), value: change, timestampMs });
    },
  });
}

/** What `identity` sends on: the record itself, and what it contributes where. */
export type IdentityOutput =
  | { readonly kind: 'source'; readonly record: SourceRecord }
  | { readonly kind: 'contribution'; readonly change: ContributionChange };

const identityStores = { sourceRecords };

export const identityStep = defineProcessor({
  name: 'identity',
  stores: identityStores,
  process(
    { key: ref, value: change, timestampMs }: StreamRecord<string, SourceChange>,
    { stores, forward, drop }: ProcessorContext<string, IdentityOutput, typeof identityStores>,
  ) {
    const before = stores.sourceRecords.get(ref);
    const { record, outcome, contributions } = applyChange(before, change);
    if (record !== undefined && record !== before) stores.sourceRecords.put(ref, record);
    if (outcome !== 'applied') {
      drop(outcome);
      return;
    }
    if (record !== undefined) forward({ key: ref, value: { kind: 'source', record }, timestampMs });
    for (const contribution of contributions)
      forward({ key: ref, value: { kind: 'contribution', change: contribution }, timestampMs });
  },
});

/** What reaches `merge`, keyed by e-mail. */
export type MergeInput =
  | { readonly kind: 'contribution'; readonly change: ContributionChange }
  | { readonly kind: 'overrides'; readonly overrides: StewardOverrides | null };

/** What `merge` sends on; the key is the e-mail, but for detached records their reference. */
export type MergeOutput =
  | { readonly kind: 'merged'; readonly customer: CustomerMerged | null }
  | { readonly kind: 'conflict'; readonly event: ConflictEvent }
  | { readonly kind: 'detached'; readonly customer: DetachedCustomer | null };

const mergeStores = { customerStates };

export function mergeStep(policy: CustomerPolicy) {
  return defineProcessor({
    name: 'merge',
    stores: mergeStores,
    process(
      { key: email, value: input, timestampMs }: StreamRecord<string, MergeInput>,
      { stores, forward, drop }: ProcessorContext<string, MergeOutput, typeof mergeStores>,
    ) {
      const before = stores.customerStates.get(email);
      const result: MergeResult =
        input.kind === 'contribution'
          ? applyContribution(before, input.change, policy)
          : applyOverrides(before, { email, overrides: input.overrides, atMicros: timestampMs * 1_000 }, policy);
      if (result.state !== undefined && result.state !== before) stores.customerStates.put(email, result.state);
      if (result.outcome !== 'applied') drop(result.outcome);
      const send = (key: string, value: MergeOutput): void => {
        forward({ key, value, timestampMs });
      };
      if (result.merged !== undefined) send(email, { kind: 'merged', customer: result.merged });
      for (const event of result.events) send(email, { kind: 'conflict', event });
      for (const { ref, value } of result.detached) send(ref, { kind: 'detached', customer: value });
    },
  });
}
