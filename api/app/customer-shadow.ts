/** Compares, beside the answers, what the merge says of customers with what others say of them. */
import { noHeaders, type Clock, type Logger, type OutgoingRecord, type Topic } from '../../index.ts';
import { differences } from '../../processors/app/shadow/difference.ts';
import { customerFields } from '../../schemas/app/customer/fields.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { Comparison, ComparisonOutcome } from '../../schemas/app/shadow.ts';

/** Somebody else who can say what is known of a customer; rejects where nobody can be asked. */
export interface OtherCustomers {
  /** What is compared with what, the left side first: one of them is `merge`. */
  readonly pair: string;
  /** The other side is the left one. */
  readonly isLeft: boolean;
  readonly find: (email: string) => Promise<object | undefined>;
}

export interface CustomerShadow {
  /** The system before, where there is one. */
  readonly legacy: OtherCustomers | undefined;
  /** Returns at once. `read` is what the merge says now: it is asked again while a side may only be late. */
  compare(email: string, read: () => Promise<CustomerMerged | undefined>): void;
}

export interface ComparisonCount {
  readonly pair: string;
  readonly outcome: ComparisonOutcome;
  readonly count: number;
}

export interface RunningShadow extends CustomerShadow {
  /** Ends what is under way. */
  close(): Promise<void>;
  counts(): readonly ComparisonCount[];
  /** Comparisons that were not made: too many at once, or a side that could not be asked. */
  readonly skipped: number;
}

export interface CustomerShadowOptions {
  readonly legacy: OtherCustomers | undefined;
  /** Besides the system before. */
  readonly others: readonly OtherCustomers[];
  readonly comparisons: Topic<string, Comparison>;
  readonly write: (record: OutgoingRecord) => Promise<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For how long a side may be late. */
  readonly settleMs?: number;
}

const defaults = { settleMs: 5_000 } as const;
/** Comparisons at one time; what comes beyond is not compared. */
const pendingMax = 100;
const lookAgainMs = 250;
/** Compared whatever the other side has, and as far as it has them. */
const always: readonly string[] = ['email', ...customerFields];
const known: readonly string[] = ['systemAId', 'systemBUuid', 'sources', 'isPartial'];

/** What differs; `undefined` where a side is missing and the other is not. */
export function customerDifferences(
  merged: CustomerMerged | undefined,
  other: object | undefined,
): readonly string[] | undefined {
  if (merged === undefined || other === undefined) return merged === other ? [] : undefined;
  const found = new Set(differences(merged, other));
  const isThere = (name: string): boolean =>
    Object.hasOwn(other, name) ||
    Object.hasOwn(
      other,
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    );
  // Within a list or an object one path stands for all.
  const differs = (name: string): boolean => [...found].some((path) => path.split('.')[0] === name);
  return [...always, ...known.filter(isThere)].filter(differs);
}

export function createCustomerShadow(options: CustomerShadowOptions): RunningShadow {
  const { legacy, others, logger } = options;
  const counts = new Map<string, ComparisonCount>();
  const pending = new Set<Promise<void>>();
  const end = new AbortController();
  let skipped = 0;

  const run = async (email: string, other: OtherCustomers, read: () => Promise<CustomerMerged | undefined>) => {
    try {
      const { outcome, fields, delayMs } = await settled(options, { email, other, read, signal: end.signal });
      const { pair } = other;
      const id = `${pair} ${outcome}`;
      counts.set(id, { pair, outcome, count: (counts.get(id)?.count ?? 0) + 1 });
      if (outcome !== 'match') logger.warn('MV/Live mismatch detected', { pair, outcome, fields });
      await record(options, email, { subject: 'customers', pair, outcome, fields, delayMs });
    } catch (error) {
      skipped += 1;
      logger.debug('a customer was not compared', { pair: other.pair, error });
    }
  };

  return {
    legacy,
    compare: (email, read) => {
      for (const other of legacy === undefined ? others : [legacy, ...others]) {
        if (end.signal.aborted || pending.size >= pendingMax) {
          skipped += 1;
          continue;
        }
        const running = run(email, other, read).finally(() => pending.delete(running));
        pending.add(running);
      }
    },
    close: async () => {
      end.abort();
      await Promise.all(pending);
    },
    counts: () => [...counts.values()],
    get skipped() {
      return skipped;
    },
  };
}

interface Pairing {
  readonly email: string;
  readonly other: OtherCustomers;
  readonly read: () => Promise<CustomerMerged | undefined>;
  readonly signal: AbortSignal;
}

/** Looks until both sides are the same, or for as long as one of them may be late. */
async function settled(
  { clock, settleMs = defaults.settleMs }: CustomerShadowOptions,
  { email, other, read, signal }: Pairing,
): Promise<Required<Pick<Comparison, 'outcome' | 'fields' | 'delayMs'>>> {
  const startMs = clock.monotonicMs();
  for (;;) {
    const [merged, found] = await Promise.all([read(), other.find(email)]);
    const fields = customerDifferences(merged, found);
    const delayMs = Math.round(clock.monotonicMs() - startMs);
    if (fields?.length === 0) return { outcome: 'match', fields, delayMs };
    if (delayMs >= settleMs || signal.aborted) {
      if (fields !== undefined) return { outcome: 'mismatch', fields, delayMs };
      const isLeftMissing = (found === undefined) === other.isLeft;
      return { outcome: isLeftMissing ? 'missing_left' : 'missing_right', fields: [], delayMs };
    }
    await clock.sleep(lookAgainMs, signal);
  }
}

async function record(
  { comparisons, write, clock }: CustomerShadowOptions,
  email: string,
  compared: Omit<Comparison, 'at'>,
): Promise<void> {
  const timestampMs = clock.nowMs();
  const value = comparisons.value.serialize({ ...compared, at: timestampMs * 1_000 });
  await write({
    topic: comparisons.name,
    key: comparisons.key.serialize(email),
    value,
    headers: noHeaders,
    timestampMs,
  });
}
