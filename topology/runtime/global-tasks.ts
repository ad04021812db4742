/** Fills global stores: one task for each partition of their topics, which all write to the same store of this instance. */
import type { Clock, Logger, Random } from '../../clock.ts';
import type { FetchedBatch } from '../../connectors/log.ts';
import { partitionId } from '../../schemas/record.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import type { Plan } from '../plan.ts';
import { Outputs } from './outputs.ts';
import { taskId } from './plan-tasks.ts';
import { Task } from './task.ts';
import type { TaskStore } from './task-store.ts';

export interface GlobalTasksOptions {
  readonly plan: Plan;
  /** By name, opened. */
  readonly stores: ReadonlyMap<string, TaskStore>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Where to start reading. */
  startOf(partition: TopicPartition): number;
}

interface Filling {
  readonly task: Task;
  readonly store: TaskStore;
}

export class GlobalTasks {
  readonly stores: ReadonlyMap<string, TaskStore>;
  readonly #filling = new Map<string, Filling[]>();

  constructor(options: GlobalTasksOptions) {
    this.stores = options.stores;
    for (const subTopology of options.plan.globals)
      for (let partition = 0; partition < subTopology.partitions; partition += 1)
        for (const planned of subTopology.stores) {
          const store = options.stores.get(planned.spec.name);
          const [topic] = subTopology.sourceTopics;
          if (store === undefined || topic === undefined) continue;
          const stores = new Map([[store.name, store]]);
          const start = new Map([[topic, { offset: options.startOf({ topic, partition }), partitionTimeMs: -1 }]]);
          const task = new Task({
            ...options,
            id: taskId(subTopology.id, partition),
            subTopology,
            partition,
            stores,
            globals: stores,
            // A global store has nothing after it.
            outputs: new Outputs(),
            start,
            // Nothing is posted to it: its one processor is its own.
            wake: () => undefined,
            isCaughtUp: () => true,
            maxTaskIdleMs: 0,
          });
          task.open();
          const id = partitionId(topic, partition);
          this.#filling.set(id, [...(this.#filling.get(id) ?? []), { task, store }]);
        }
  }

  get tasks(): readonly Task[] {
    return [...this.#filling.values()].flatMap((tasks) => tasks.map(({ task }) => task));
  }

  /** Partitions to read, with where their tasks stand. */
  get positions(): readonly (TopicPartition & { readonly offset: number })[] {
    return [...this.#filling.values()].map(([first]) => {
      const queue = first?.task.queues[0];
      return { topic: queue?.topic ?? '', partition: queue?.partition ?? 0, offset: queue?.nextOffset ?? 0 };
    });
  }

  /** Whether a global store is filled from it. */
  reads({ topic, partition }: TopicPartition): boolean {
    return this.#filling.has(partitionId(topic, partition));
  }

  /** Processes a batch to its end; what it wrote is seen at once, and still to be applied. Throws what a task would stop with. */
  take(batch: FetchedBatch): void {
    for (const { task, store } of this.#filling.get(partitionId(batch.topic, batch.partition)) ?? []) {
      store.bind(task);
      task.addBatch(batch);
      while (task.process(Infinity, Infinity) > 0);
    }
  }

  close(): void {
    for (const tasks of this.#filling.values()) for (const { task } of tasks) task.close();
    this.#filling.clear();
  }
}
