/** Checked by the compiler alone: what joins infer, and what they refuse. Never run. */
import { int64Serde, jsonSerde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { defineTopology } from '../../topology/builder.ts';
import type { KStream, KTable } from '../../topology/handles.ts';
import { exactly } from './expect.ts';

interface Order {
  readonly customer: number | null;
}
interface Customer {
  readonly name: string;
}

const orders = defineTopic({ name: 'orders', key: stringSerde, value: jsonSerde<Order>() });
const customers = defineTopic({ name: 'customers', key: int64Serde, value: jsonSerde<Customer>() });

export const foreignKeys = defineTopology('foreign-keys', (t) => {
  const rows = t.table(orders);
  const others = t.table(customers);

  const joined = rows.foreignKeyJoin('inner', others, {
    foreignKey: (order) => order.customer,
    joiner: (_order, customer) => customer.name,
  });
  exactly<KTable<string, string>>()(joined);

  const outer = rows.foreignKeyLeftJoin('left', others, {
    foreignKey: (order) => order.customer,
    joiner: (_order, customer) => customer?.name.length ?? null,
  });
  exactly<KTable<string, number>>()(outer);

  rows.foreignKeyJoin('wrong-key', others, {
    // @ts-expect-error the other table's keys are numbers
    foreignKey: (_order, key) => key,
    joiner: () => '',
  });
  rows.foreignKeyLeftJoin('wrong-row', others, {
    foreignKey: (order) => order.customer,
    // @ts-expect-error the other row may be missing
    joiner: (_order, customer) => customer.name,
  });
  // @ts-expect-error the keys of the tables are of different types
  rows.join('wrong-tables', others, () => '');
});

export const streams = defineTopology('joined-streams', (t) => {
  const left = t.stream(orders);
  const right = t.stream(defineTopic({ name: 'texts', key: stringSerde, value: stringSerde }));
  const windows = { beforeMs: 1, afterMs: 1, graceMs: 1 };

  const pairs = left.joinStream('inner', right, { windows, joiner: (order, text) => [order, text] as const });
  exactly<KStream<string, readonly [Order, string]>>()(pairs);
  const toLeft = left.leftJoinStream('left', right, { windows, joiner: (order, text) => text ?? order.customer });
  exactly<KStream<string, string | number | null>>()(toLeft);
  left.outerJoinStream('outer', right, {
    windows,
    // @ts-expect-error either record may be missing
    joiner: (order) => order.customer,
  });
  // @ts-expect-error the keys of the streams are of different types
  left.joinStream('keys', t.stream(customers), { windows, joiner: () => '' });

  const names = t.globalTable(customers);
  const named = left.joinGlobal('names', names, {
    key: (order) => order.customer,
    joiner: (_order, customer) => customer.name,
  });
  exactly<KStream<string, string>>()(named);
  left.joinGlobal('wrong-key', names, {
    // @ts-expect-error the keys of the global table are numbers
    key: (_order, key) => key,
    joiner: () => '',
  });
  left.leftJoinGlobal('wrong-row', names, {
    key: (order) => order.customer,
    // @ts-expect-error the row may be missing
    joiner: (_order, customer) => customer.name,
  });
});
