/** Those who ask the stores while everything goes on. What they saw is judged at the end, when the changelogs tell what was committed when. */
import { partitionId } from '../../schemas/record.ts';
import { toBinaryKey } from '../../state-stores/binary-key.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import type { StoreView } from '../../topology/runtime/view.ts';
import type { Chance } from './chance.ts';
import { inputOf, type Ledger } from './ledger.ts';

export interface Answer {
  readonly changelog: string;
  readonly store: string;
  readonly partition: number;
  readonly key: string;
  readonly value: string;
  /** Only records of the changelog below this were committed at that time. */
  readonly below: number;
  readonly asked: string;
}

/** Entries that one question reads. */
const entriesMax = 8;

export class Queries {
  readonly answers: Answer[] = [];
  readonly #ledger: Ledger;
  readonly #chance: Chance;

  constructor(ledger: Ledger, chance: Chance) {
    this.#ledger = ledger;
    this.#chance = chance;
  }

  /** Asks one store of one task that runs there, if any does. */
  ask(who: string, instance: StreamInstance): void {
    const tasks = instance.tasks().filter(({ state, stores }) => state === 'running' && stores.length > 0);
    if (tasks.length === 0) return;
    const { id, stores } = this.#chance.pick(tasks);
    const store = this.#chance.pick(stores);
    const partition = Number(id.slice(id.indexOf('_') + 1));
    const changelog = `${instance.applicationId}-${store}-changelog`;
    const below = this.#ledger.ends.get(partitionId(changelog, partition)) ?? 0;
    const view = instance.localStore(store, partition);
    for (const [input, offset] of view.position())
      if (offset > (this.#ledger.inputs.get(inputOf(instance.applicationId, input))?.offset ?? Infinity))
        this.#ledger.violations.push(`${who} answers for ${input} up to ${offset}, beyond what is committed`);
    void this.#read(view, { changelog, store, partition, below, asked: who });
  }

  async #read(view: StoreView, question: Omit<Answer, 'key' | 'value'>): Promise<void> {
    try {
      for await (const [key, value] of view.scan({ limit: entriesMax }))
        this.answers.push({ ...question, key: toBinaryKey(key), value: toBinaryKey(value) });
    } catch {
      // The store is damaged, or was closed meanwhile: no answer is no wrong answer.
    }
  }
}
