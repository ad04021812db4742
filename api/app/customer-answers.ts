/** Who answers for a customer while two ways of knowing it are in use. */
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { QueryContext } from '../placement.ts';
import type { CustomerShadow } from './customer-shadow.ts';
import type { RolloutPort } from './rollout-port.ts';

export interface TwoWays {
  readonly shadow?: CustomerShadow | undefined;
  readonly rollout?: RolloutPort | undefined;
}

export interface AskedCustomer {
  readonly email: string;
  readonly context: QueryContext;
  /** What the merge says. */
  readonly read: (context: QueryContext) => Promise<CustomerMerged | undefined>;
}

/** Begins a comparison if the customer is in that share. Says what the system before answers, or `undefined` if the merge is to answer: by the flag, or since nobody else does. */
export async function askBefore(
  { shadow, rollout }: TwoWays,
  { email, context, read }: AskedCustomer,
): Promise<{ readonly customer: object | undefined } | undefined> {
  if (shadow === undefined || rollout === undefined) return undefined;
  // The comparison outlives the request.
  const beside = { ...context, signal: new AbortController().signal, minPosition: undefined };
  if (rollout.isOn('shadow-customers', email)) shadow.compare(email, () => read(beside));
  const isNew = rollout.isOn('use-materialized-view', email) || context.minPosition !== undefined;
  if (isNew || shadow.legacy === undefined) return undefined;
  try {
    return { customer: await shadow.legacy.find(email) };
  } catch {
    return undefined;
  }
}
