/** What a system that is only tried out would have answered, and how that compares. Everything of it lies in topics under `shadow.`. */
import { canonicalJsonSerde, defineTopic, stringSerde, type Topic } from '../../index.ts';
import { billingTopics } from './billing/topics.ts';
import type { TransactionEvent } from './billing/transaction.ts';
import { compact, readList, readObject, readText } from './reader.ts';
import { jsonFormat, type RecordFormat } from './record-format.ts';

export const shadowSides = ['old', 'new'] as const;
/** What is compared of a transaction: decimal text, but for the currency. */
export const shadowFacts = [
  'amount',
  'currency',
  'sourceBalanceBefore',
  'sourceBalanceAfter',
  'destinationBalanceBefore',
  'destinationBalanceAfter',
] as const;
export type ShadowFact = (typeof shadowFacts)[number];
export type ShadowFacts = { readonly [F in ShadowFact]?: string };

/** How a transaction ended in one of two systems: the value of `shadow.results`, keyed by its correlation id. */
export interface ShadowResult extends ShadowFacts {
  /** The idempotency key: the one name that both systems have for a request, tried again or not. */
  readonly correlationId: string;
  readonly side: (typeof shadowSides)[number];
  readonly outcome: 'completed' | 'failed';
  /** Microseconds. */
  readonly at: number;
}

export const comparisonSubjects = ['billing', 'customers'] as const;
export const comparisonOutcomes = ['match', 'mismatch', 'missing_left', 'missing_right'] as const;
export type ComparisonOutcome = (typeof comparisonOutcomes)[number];

/** One comparison: the value of `shadow.comparisons`, and of `shadow.mismatches` unless both sides are the same. */
export interface Comparison {
  readonly subject: (typeof comparisonSubjects)[number];
  /** What was compared with what: the left side is the old one. */
  readonly pair: string;
  readonly outcome: ComparisonOutcome;
  /** What differs; never the values. */
  readonly fields: readonly string[];
  /** From one side to the other; absent where one is missing. */
  readonly delayMs?: number;
  /** Microseconds. */
  readonly at: number;
}

export interface ShadowTopics {
  readonly results: Topic<string, ShadowResult>;
  readonly comparisons: Topic<string, Comparison>;
  readonly mismatches: Topic<string, Comparison>;
  /** Of the billing that runs in the shadow. */
  readonly transactionEvents: Topic<string, TransactionEvent>;
}

function parseShadowResult(value: unknown): ShadowResult {
  const reader = readObject(value, 'result');
  const facts = Object.fromEntries(shadowFacts.map((fact) => [fact, reader.optionalText(fact, 64)]));
  return compact({
    ...facts,
    correlationId: reader.text('correlationId', 200),
    side: reader.oneOf('side', shadowSides),
    outcome: reader.oneOf('outcome', ['completed', 'failed']),
    at: reader.count('at'),
  });
}

function parseComparison(value: unknown): Comparison {
  const reader = readObject(value, 'comparison');
  return compact({
    subject: reader.oneOf('subject', comparisonSubjects),
    pair: reader.text('pair', 100),
    outcome: reader.oneOf('outcome', comparisonOutcomes),
    fields: reader.with('fields', (fields, where) => readList(fields, where, (field, at) => readText(field, at, 200))),
    delayMs: reader.optionalCount('delayMs'),
    at: reader.count('at'),
  });
}

const day = 86_400_000;
/** As many as billing has: results are made from its events. */
const partitions = 10;

/** The name space of everything that is only tried out: a prefix that is one already stays as it is. */
export function shadowPrefix(topicPrefix: string): string {
  return /(^|\.)shadow\.$/.test(topicPrefix) ? topicPrefix : `${topicPrefix}shadow.`;
}

/** The topics of the shadow that belongs to `topicPrefix`. None of them is a topic of real money. */
export function shadowTopics(topicPrefix = '', format: RecordFormat = jsonFormat): ShadowTopics {
  const prefix = shadowPrefix(topicPrefix);
  const topic = <T>(name: string, parse: (value: unknown) => T, days: number): Topic<string, T> =>
    defineTopic({
      name: `${prefix}${name}`,
      key: stringSerde,
      value: canonicalJsonSerde(parse),
      create: { partitions, configs: { 'cleanup.policy': 'delete', 'retention.ms': String(days * day) } },
    });
  return Object.freeze({
    results: topic('results', parseShadowResult, 7),
    comparisons: topic('comparisons', parseComparison, 7),
    mismatches: topic('mismatches', parseComparison, 30),
    transactionEvents: billingTopics(prefix, format).transactionEvents,
  });
}
