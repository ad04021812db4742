import { expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { describeKafka } from './support/kafka.ts';

describeKafka('the test broker', (brokers) => {
  test('keeps what is produced and creates no topic by itself', async () => {
    const client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { retries: 1 } });
    const admin = client.admin();
    await admin.connect();
    try {
      await admin.createTopics({ topics: [{ topic: 'broker-smoke', numPartitions: 2 }], waitForLeaders: true });
      const producer = client.producer();
      await producer.connect();
      await producer.send({ topic: 'broker-smoke', messages: [{ key: 'k', value: 'v', partition: 1 }] });
      await producer.disconnect();

      const offsets = await admin.fetchTopicOffsets('broker-smoke');
      expect(offsets.map(({ partition, high }) => [partition, high]).sort()).toEqual([
        [0, '0'],
        [1, '1'],
      ]);
      await expect(admin.fetchTopicOffsets('never-created')).rejects.toThrow();
    } finally {
      await admin.disconnect();
    }
  });
});
