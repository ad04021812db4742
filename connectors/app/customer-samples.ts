/** What a first start writes to the topics of the customer merge. */
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { capturedRecords, sampleFeed, type FeedRecord } from './sample-feed.ts';
import { seededRandom } from './seeded-random.ts';

/** A record for the topic it names. */
export interface SampleRecord extends Omit<FeedRecord, 'source'> {
  readonly topic: string;
}

/** The customers of every start are the same, so that a second start changes them instead of adding others. */
const sampleSeed = 1;
const sampleCustomers = 300;

/** Captured records first, then made-up ones without end. */
export function* customerSamples(topicPrefix: string, nowMs: () => number): Generator<SampleRecord> {
  const { changesA, changesB } = customerTopics(topicPrefix);
  const topicOf = ({ source, ...record }: FeedRecord): SampleRecord => ({
    ...record,
    topic: source === 'system_a' ? changesA.name : changesB.name,
  });
  for (const record of capturedRecords(nowMs())) yield topicOf(record);
  const feed = sampleFeed({ random: seededRandom(sampleSeed), nowMs, customers: sampleCustomers });
  for (const record of feed) yield topicOf(record);
}
