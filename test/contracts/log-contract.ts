/** What every implementation of `Log` must do. */
import { afterAll, afterEach, beforeAll, describe } from '@jest/globals';
import { groupTests } from './log/groups.ts';
import { LogFixture, type LogUnderTest } from './log/log-fixture.ts';
import { offsetTests } from './log/offsets.ts';
import { readerTests } from './log/readers.ts';
import { recordTests } from './log/records.ts';
import { topicTests } from './log/topics.ts';
import { transactionTests } from './log/transactions.ts';

/** Names are unique to each test, so the log may be shared with others, and outlive the suite. */
export function logContract(name: string, makeLog: () => Promise<LogUnderTest>): void {
  describe(`${name}, as a Log`, () => {
    const fixture = new LogFixture();
    beforeAll(async () => {
      fixture.use(await makeLog());
    });
    afterEach(() => fixture.release());
    afterAll(() => fixture.dispose());

    describe('topics', () => {
      topicTests(fixture);
    });
    describe('records', () => {
      recordTests(fixture);
    });
    describe('readers', () => {
      readerTests(fixture);
    });
    describe('transactions', () => {
      transactionTests(fixture);
    });
    describe('committed offsets', () => {
      offsetTests(fixture);
    });
    describe('groups', () => {
      groupTests(fixture);
    });
  });
}
