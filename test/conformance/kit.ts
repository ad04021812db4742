/** What the builders of the kinds work with. */
import type { Change, KStream, KTable, Topic, TopologyBuilder } from '../../index.ts';
import { defineTopic } from '../../index.ts';
import type { ConformanceCase, Params } from './format.ts';
import { Functions } from './functions.ts';
import { anySerde, madeKeySerde, serdeOf } from './serdes.ts';

export type AnyStream = KStream<unknown, unknown>;
export type AnyTable = KTable<unknown, unknown>;

/** The name of the store whose content a case asserts. */
export const watchedStore = 'watched';

export class Kit {
  readonly t: TopologyBuilder;
  readonly params: Params;
  readonly functions: Functions;
  /** Of keys that a function makes. */
  readonly madeKey = madeKeySerde();
  readonly #case: ConformanceCase;
  readonly #topics: ReadonlyMap<string, Topic<unknown, unknown>>;

  constructor(t: TopologyBuilder, of: ConformanceCase) {
    this.t = t;
    this.#case = of;
    this.params = of.params;
    this.functions = new Functions(of);
    this.#topics = inputTopics(of);
  }

  topic(name: string): Topic<unknown, unknown> {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new Error(`the case has no topic ${name}`);
    return topic;
  }

  /** The one topic of a case that has only one. */
  get onlyTopic(): Topic<unknown, unknown> {
    const [name, ...others] = Object.keys(this.#case.types);
    if (name === undefined || others.length > 0) throw new Error('the case should have one topic');
    return this.topic(name);
  }

  /** The topic's stream after the operators that `ops` names. */
  stream(topic: string, ops: readonly string[] = []): AnyStream {
    let stream: AnyStream = this.t.stream(this.topic(topic));
    for (const [index, op] of ops.entries()) stream = this.#apply(stream, op, `${topic}-${String(index)}`);
    return stream;
  }

  out(name: string, stream: AnyStream): void {
    stream.to(outputTopic(name), { name: `${name}-sink` });
  }

  /** The table whose changes the one topic holds. */
  tableOfChanges(): AnyTable {
    const changes = this.t.stream(this.onlyTopic) as KStream<unknown, Change<unknown>>;
    const { graceMs = 0 } = this.params;
    return this.t.tableOfChanges(changes, 'changes', { valueSerde: madeKeySerde(), closesAfterMs: graceMs });
  }

  changes(name: string, table: AnyTable): void {
    this.out(
      name,
      table.toChanges().mapValues(({ newValue, oldValue }) => rendered(newValue, oldValue)),
    );
  }

  /** Collects a table's new values, or its changes: without old values they are the new ones alone. */
  watch(name: string, all: AnyTable): void {
    const table = this.#isCached ? all.oncePerCommit() : all;
    const { output, sendOldValues } = this.params;
    if (output !== 'change') this.out(name, table.toStream());
    else if (sendOldValues === true)
      this.out(
        name,
        table.toChanges().mapValues(({ newValue, oldValue }) => rendered(newValue, oldValue)),
      );
    else
      this.out(
        name,
        table.toStream().mapValues((value) => rendered(value, null)),
      );
  }

  /** The case holds all inputs in one transaction, and wants what a cache lets through. */
  get #isCached(): boolean {
    return (this.params.caching ?? this.#case.caching ?? 'off').startsWith('on');
  }

  #apply(stream: AnyStream, op: string, name: string): AnyStream {
    const { keySerde, valueSerde } = {
      keySerde: stream.state.key ?? anySerde,
      valueSerde: stream.state.value ?? anySerde,
    };
    switch (op) {
      case 'map(identity)':
        return stream.map(`${name}-map`, (value, key) => [key, value]).withSerdes({ keySerde, valueSerde });
      case 'flatMap(identity)':
        return stream.flatMap(`${name}-flat-map`, (value, key) => [[key, value]]).withSerdes({ keySerde, valueSerde });
      case 'selectKey(identity)':
        return stream.selectKey(`${name}-select-key`, (_value, key) => key).withSerdes({ keySerde });
      case 'repartition':
        return stream.repartition(`${name}-repartition`);
      default:
        throw new Error(`unknown operator ${op}`);
    }
  }
}

function rendered(newValue: unknown, oldValue: unknown): unknown {
  return { new: newValue, old: oldValue };
}

/** The input topics of a case. */
export function inputTopics(of: ConformanceCase): ReadonlyMap<string, Topic<unknown, unknown>> {
  return new Map(
    Object.entries(of.types).map(([name, { key, value }]) => [
      name,
      defineTopic({ name, key: serdeOf(key), value: serdeOf(value) }),
    ]),
  );
}

/** Where an output of a case is collected. */
export function outputTopic(name: string): Topic<unknown, unknown> {
  return defineTopic({ name: `output-${name}`, key: anySerde, value: anySerde });
}
