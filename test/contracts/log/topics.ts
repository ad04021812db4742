import { expect, test } from '@jest/globals';
import { batchOf, eventually, partition, refusal, unique, type LogFixture } from './log-fixture.ts';

export function topicTests(fixture: LogFixture): void {
  test('a topic that exists is left alone and reported', async () => {
    const { admin } = fixture.log;
    const [first, second] = [unique('topic'), unique('topic')];
    const topic = (name: string, partitions: number) => ({ name, partitions, replicationFactor: 1 });
    expect(await admin.createTopics([topic(first, 2)])).toEqual({ created: [first], existing: [] });
    expect(await admin.createTopics([topic(first, 5), topic(second, 1)])).toEqual({
      created: [second],
      existing: [first],
    });
    expect((await admin.describeTopics([first])).get(first)?.partitions).toBe(2);
  });

  test('topics are usable when created, by every client, and listed', async () => {
    const name = await fixture.topic({ partitions: 3 });
    const other = await fixture.another();
    const producer = await fixture.producer({}, other);
    expect(await producer.send([batchOf(partition(name, 2), ['a'])])).toEqual([0]);
    expect(await other.admin.listTopics()).toContain(name);
  });

  test('a topic is described, an unknown one is undefined', async () => {
    const name = await fixture.topic({ partitions: 3 });
    const unknown = unique('topic');
    const described = await fixture.log.admin.describeTopics([name, unknown]);
    expect(described.get(name)).toEqual({ name, topicId: expect.anything(), partitions: 3, replicationFactor: 1 });
    expect(described.has(unknown)).toBe(true);
    expect(described.get(unknown)).toBeUndefined();
  });

  test('configurations are those given, and defaults for the rest', async () => {
    const configs = { 'cleanup.policy': 'compact', 'retention.ms': '12345', 'min.cleanable.dirty.ratio': '0.25' };
    const name = await fixture.topic({ configs });
    const effective = await fixture.log.admin.topicConfigs(name);
    expect(effective.get('cleanup.policy')).toBe('compact');
    expect(effective.get('retention.ms')).toBe('12345');
    expect(Number(effective.get('min.cleanable.dirty.ratio'))).toBe(0.25);
    expect(effective.get('max.message.bytes')).toBe('1048588');
    expect(effective.get('message.timestamp.type')).toBe('CreateTime');
  });

  test('configurations of an unknown topic are refused', async () => {
    expect(await refusal(fixture.log.admin.topicConfigs(unique('topic')))).toBe('TOPIC_UNKNOWN');
  });

  test('configurations can be set later; those that are not named stay, and records with them', async () => {
    const { admin } = fixture.log;
    const name = await fixture.topic({ configs: { 'retention.ms': '1000000', 'max.message.bytes': '900000' } });
    const producer = await fixture.producer();
    await producer.send([batchOf(partition(name), ['a'])]);
    await admin.alterTopicConfigs(name, { 'cleanup.policy': 'compact', 'retention.ms': '-1' });
    const other = await fixture.another();
    await eventually('they are set', async () => (await other.admin.topicConfigs(name)).get('retention.ms') === '-1');
    const effective = await other.admin.topicConfigs(name);
    expect([effective.get('cleanup.policy'), effective.get('max.message.bytes')]).toEqual(['compact', '900000']);
    expect(await fixture.values(partition(name))).toEqual(['a']);
  });

  test('a configuration that makes no sense is refused, with what was named beside it; so is one of an unknown topic', async () => {
    const { admin } = fixture.log;
    const name = await fixture.topic({ configs: { 'retention.ms': '1000000' } });
    for (const wrong of [{ 'segment.bytes': 'large' }, { 'no.such.thing': '1' }])
      expect(await refusal(admin.alterTopicConfigs(name, { 'retention.ms': '1', ...wrong }))).toBe('TOPIC_INVALID');
    expect((await admin.topicConfigs(name)).get('retention.ms')).toBe('1000000');
    expect(await refusal(admin.alterTopicConfigs(unique('topic'), { 'retention.ms': '1' }))).toBe('TOPIC_UNKNOWN');
  });

  test('a topic has no more replicas than there are brokers', async () => {
    const { admin } = fixture.log;
    const brokers = await admin.brokerCount();
    const name = unique('topic');
    await admin.createTopics([{ name, partitions: 1, replicationFactor: brokers + 2 }]);
    expect((await admin.describeTopics([name])).get(name)?.replicationFactor).toBe(brokers);
  });

  test.each([
    ['a bad name', { name: 'no spaces allowed' }],
    ['a name that is a path', { name: '..' }],
    ['no partitions', { partitions: 0 }],
    ['an unknown configuration', { configs: { 'no.such.thing': '1' } }],
    ['a bad configuration', { configs: { 'retention.ms': 'soon' } }],
  ])('a topic with %s is refused', async (_, wrong) => {
    const name = unique('topic');
    const creation = fixture.log.admin.createTopics([{ name, partitions: 1, replicationFactor: 1, ...wrong }]);
    expect(await refusal(creation)).toBe('TOPIC_INVALID');
    expect(await fixture.log.admin.listTopics()).not.toContain(name);
  });

  test('a topic that was deleted and created again has another id and no records', async () => {
    const { admin } = fixture.log;
    const name = await fixture.topic();
    const before = (await admin.describeTopics([name])).get(name)?.topicId;
    const producer = await fixture.producer();
    await producer.send([batchOf(partition(name), ['a', 'b'])]);

    await admin.deleteTopics([name]);
    await eventually('the topic is gone', async () => !(await admin.listTopics()).includes(name));
    expect((await admin.describeTopics([name])).get(name)).toBeUndefined();
    expect(await refusal(admin.offsets([partition(name)]))).toBe('TOPIC_UNKNOWN');

    await eventually('the name is free', async () => {
      const { created } = await admin.createTopics([{ name, partitions: 1, replicationFactor: 1 }]);
      return created.length === 1;
    });
    expect((await admin.describeTopics([name])).get(name)?.topicId).not.toEqual(before);
    expect(await admin.offsets([partition(name)])).toEqual([{ start: 0, stable: 0, end: 0 }]);
  });

  test('partitions can be added; what is there stays', async () => {
    const { admin } = fixture.log;
    const name = await fixture.topic({ partitions: 1 });
    const producer = await fixture.producer();
    await producer.send([batchOf(partition(name), ['a'])]);
    await admin.addPartitions(name, 3);
    await eventually('there are 3', async () => (await admin.describeTopics([name])).get(name)?.partitions === 3);

    const later = await fixture.producer();
    expect(await later.send([batchOf(partition(name, 2), ['b'])])).toEqual([0]);
    expect(await fixture.values(partition(name, 0))).toEqual(['a']);
    expect(await fixture.values(partition(name, 2))).toEqual(['b']);
  });

  test('partitions cannot become fewer', async () => {
    const name = await fixture.topic({ partitions: 3 });
    expect(await refusal(fixture.log.admin.addPartitions(name, 2))).toBe('TOPIC_INVALID');
  });

  test('offsets of an unknown topic or partition are refused', async () => {
    const name = await fixture.topic();
    expect(await refusal(fixture.log.admin.offsets([partition(unique('topic'))]))).toBe('TOPIC_UNKNOWN');
    expect(await refusal(fixture.log.admin.offsets([partition(name, 7)]))).toBe('TOPIC_UNKNOWN');
  });

  test('the cluster id is the same for every client', async () => {
    const id = await fixture.log.admin.clusterId();
    expect(id).not.toBe('');
    expect(await fixture.log.admin.clusterId()).toBe(id);
    const other = await fixture.another();
    expect(await other.admin.clusterId()).toBe(id);
  });

  test('closing a client is idempotent and does not concern others', async () => {
    const other = await fixture.another();
    await other.close();
    await other.close();
    const name = await fixture.topic();
    expect((await fixture.log.admin.describeTopics([name])).get(name)?.partitions).toBe(1);
  });
}
