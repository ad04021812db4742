import { expect, test } from '@jest/globals';
import { billingSamples } from '../../../connectors/app/billing-samples.ts';
import { sagaRequestSerde } from '../../../schemas/app/billing/request.ts';
import { jsonFormat } from '../../../schemas/app/record-format.ts';
import { registeredAvro } from '../../support/avro.ts';
import { BillingBench, startMs } from '../../support/billing/bench.ts';

function requests(count: number) {
  const samples = billingSamples({ topicPrefix: '', format: jsonFormat }, () => startMs);
  return Array.from({ length: count }, () =>
    sagaRequestSerde.deserialize((samples.next().value as { value: Buffer }).value),
  );
}

test('the requests of every start are the same, and nearly all succeed', () => {
  expect(requests(200)).toEqual(requests(200));
  const bench = new BillingBench(3);
  for (const request of requests(200)) {
    bench.request(request);
    bench.settle();
  }
  const outcomes = bench.events.filter(({ type }) => !type.endsWith('Requested'));
  expect(outcomes).toHaveLength(200);
  expect(new Set(outcomes.map(({ type }) => type))).toEqual(
    new Set([
      'AccountChangeCompleted',
      'TopupCompleted',
      'TransferCompleted',
      'WithdrawalCompleted',
      'RefundCompleted',
    ]),
  );
  bench.close();
});

test('in Avro everything comes out as in JSON', async () => {
  const formats = [jsonFormat, await registeredAvro()];
  const [inJson, inAvro] = formats.map((format) => {
    const bench = new BillingBench(3, format);
    for (const request of requests(150)) {
      bench.request(request);
      bench.settle();
    }
    const { commands, accountEvents, events, transitions } = bench;
    bench.close();
    return { commands, accountEvents, events, transitions };
  });
  expect(inAvro).toEqual(inJson);
  expect(inJson?.events.length).toBeGreaterThan(150);
});
