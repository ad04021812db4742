/** Planted bugs, each of a kind that has been made before, here or elsewhere. The simulation has to find every one. */

export interface Edit {
  readonly file: string;
  /** Occurs once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  /** What is wrong with it. */
  readonly bug: string;
  readonly edits: readonly Edit[];
}

const runtime = 'topology/runtime';

export const mutants: readonly Mutant[] = [
  {
    name: 'no-generation-fencing',
    bug: 'offsets are committed without member and generation, as by a client that knows no group metadata: a zombie commits',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: 'await producer.sendOffsets(prepared.offsets, group);',
        replace: "await producer.sendOffsets(prepared.offsets, { ...group, memberId: '', generation: -1 });",
      },
    ],
  },
  {
    name: 'id-per-process',
    bug: 'the transactional id is new for every process, and offsets carry no generation: nobody is fenced',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: '`${options.applicationId}-${options.instanceId}`',
        replace: '`${options.applicationId}-${options.host.random.uuid()}`',
      },
      {
        file: `${runtime}/committer.ts`,
        find: 'await producer.sendOffsets(prepared.offsets, group);',
        replace: "await producer.sendOffsets(prepared.offsets, { ...group, memberId: '', generation: -1 });",
      },
    ],
  },
  {
    name: 'offsets-before-fencing',
    bug: 'a task is taken over from offsets that a transaction of its old owner is about to move',
    edits: [{ file: `${runtime}/take-over.ts`, find: 'requireStable: true', replace: 'requireStable: false' }],
  },
  {
    name: 'restore-uncommitted',
    bug: 'stores are restored with records of aborted transactions',
    edits: [
      {
        file: `${runtime}/restorer.ts`,
        find: "isolation: 'read_committed',\n      partitionBytesMax",
        replace: "isolation: 'read_uncommitted',\n      partitionBytesMax",
      },
    ],
  },
  {
    name: 'restore-to-stable',
    bug: 'restoring does not wait for undecided changelog records',
    edits: [
      {
        file: `${runtime}/take-over.ts`,
        find: 'if (range.stable >= range.end) return range;',
        replace: 'return { ...range, end: range.stable };',
      },
    ],
  },
  {
    name: 'apply-before-commit',
    bug: 'writes reach the store before their transaction is decided',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: '    const positions =\n      this.transactionalId',
        replace:
          '    await Promise.all(tasks.flatMap((task) => applyStores(task, new Map())));\n    const positions =\n      this.transactionalId',
      },
    ],
  },
  {
    name: 'send-error-swallowed',
    bug: 'records that could not be appended are missing from a transaction that is committed all the same',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: "host.fault('before-produce');\n    const bases = await producer.send(prepared.batches);",
        replace:
          "host.fault('before-produce');\n    const bases = await producer.send(prepared.batches).catch(() => []);",
      },
      {
        file: 'connectors/embedded/embedded-producer.ts',
        find: "if (this.#state === 'in-transaction' || !isRefusal) this.#state = 'failed';",
        replace: '',
      },
    ],
  },
  {
    name: 'no-rewind',
    bug: 'after an abort reading goes on where it was, and what was aborted is skipped',
    edits: [
      {
        file: `${runtime}/task-set.ts`,
        find: 'for (const queue of task.queues) this.#scope.reader.remove(queue);',
        replace: '',
      },
      {
        file: `${runtime}/task-set.ts`,
        find: 'for (const queue of task.queues) reader.seek(queue, queue.nextOffset);',
        replace:
          'for (const queue of task.queues) reader.seek(queue, Math.max(queue.nextOffset, reader.position(queue)?.offset ?? 0));',
      },
    ],
  },
  {
    name: 'no-repartition',
    bug: 'records with a new key stay in the partition of the old one',
    edits: [
      {
        file: 'topology/repartition.ts',
        find: 'export function repartition<K, V>(stream: StreamState<K, V>, how: Repartition): StreamState<K, V> {',
        replace:
          'export function repartition<K, V>(stream: StreamState<K, V>, how: Repartition): StreamState<K, V> {\n  if (how.name !== "") return stream;',
      },
    ],
  },
  {
    name: 'changelog-wrong-partition',
    bug: 'changelog records go to another partition than the one that is restored',
    edits: [
      {
        file: `${runtime}/task.ts`,
        find: 'store.seal(this.outputs, this);',
        replace: 'store.seal(this.outputs, { partition: 0, queues: this.queues });',
      },
    ],
  },
  {
    name: 'offsets-of-moved-inputs-only',
    bug: 'a transaction that wrote only a changelog cannot be seen by whoever takes its task over',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: 'await producer.sendOffsets(prepared.offsets, group);',
        replace: 'if (prepared.offsets.length > 0) await producer.sendOffsets(prepared.offsets, group);',
      },
      {
        file: `${runtime}/task.ts`,
        find: '      this.#committed.set(queue.topic, queue.nextOffset);\n      offsets.push({',
        replace:
          '      if (this.#committed.get(queue.topic) === queue.nextOffset) continue;\n      this.#committed.set(queue.topic, queue.nextOffset);\n      offsets.push({',
      },
    ],
  },
  {
    name: 'expelled-member-commits',
    bug: 'an expelled member keeps its tasks and commits what it did under its next generation',
    edits: [
      {
        file: `${runtime}/membership.ts`,
        find: "      await this.#holdings?.tasks.closeAll();\n      this.isMember = false;\n      this.#generation = -1;\n      this.#scope.changed();\n      // A fresh producer would only fence that of the other instance.\n      if (!hasCode(error, 'INSTANCE_ID_TAKEN')) await this.#scope.renew();",
        replace: '      this.isMember = false;\n      this.#scope.changed();',
      },
    ],
  },
  {
    name: 'checkpoint-written',
    bug: 'the position of a store is that of the end it should reach, before it has reached it',
    edits: [
      {
        file: `${runtime}/take-over.ts`,
        find: "  opening.signal.addEventListener('abort', cancel, { once: true });",
        replace:
          "  await store.layered.restore([], range.end);\n  opening.signal.addEventListener('abort', cancel, { once: true });",
      },
    ],
  },
  {
    name: 'position-without-data',
    bug: 'the position reaches the disk in a write of its own, before the data',
    edits: [
      {
        file: 'state-stores/layered-store.ts',
        find: '  #write(position: Position): Promise<void> {\n    const batch = this.#backing.batch();',
        replace:
          '  async #write(position: Position): Promise<void> {\n    await this.#backing.batch().write(position);\n    const batch = this.#backing.batch();',
      },
    ],
  },
  {
    name: 'given-away-while-owned',
    bug: 'a task is given to its next owner before the last one has let go',
    edits: [
      {
        file: `${runtime}/assignor.ts`,
        find: 'return owner !== undefined && owner !== active.get(task);',
        replace: 'return owner === undefined && active.get(task) === undefined;',
      },
    ],
  },
  {
    name: 'works-while-handed-over',
    bug: 'a task goes on during its last commit, and what it does then is in the next one of others',
    edits: [{ file: `${runtime}/task-set.ts`, find: 'task.isSuspended = true;', replace: 'task.stores.size;' }],
  },
  {
    name: 'opens-while-handed-over',
    bug: 'a task that is handed over while it is being opened begins to run during the commit',
    edits: [{ file: `${runtime}/task-set.ts`, find: 'this.#opening.get(taskId)?.controller.abort();', replace: '' }],
  },
  {
    name: 'outputs-kept',
    bug: 'outputs of what was aborted stay in the buffer and are in the next transaction',
    edits: [
      {
        file: `${runtime}/task-set.ts`,
        find: '    await Promise.all(closing);\n    this.#scope.outputs.discard();',
        replace: '    await Promise.all(closing);',
      },
      {
        file: `${runtime}/task-set.ts`,
        find: '  async closeAll(): Promise<void> {\n    this.#scope.outputs.discard();',
        replace: '  async closeAll(): Promise<void> {',
      },
    ],
  },
  {
    name: 'indefinite-is-repeated',
    bug: 'a commit without an answer is done again, as if it had not happened',
    edits: [
      {
        file: `${runtime}/committer.ts`,
        find: 'await producer.commit();',
        replace: `await producer.commit().catch(async () => {
      producer.begin();
      await producer.send(prepared.batches);
      await producer.sendOffsets(prepared.offsets, group);
      await producer.commit();
    });`,
      },
      {
        file: 'connectors/embedded/embedded-producer.ts',
        find: "if (this.#state === 'in-transaction' || !isRefusal) this.#state = 'failed';",
        replace: "this.#state = 'idle';",
      },
    ],
  },
  {
    name: 'purges-unconsumed',
    bug: 'repartition topics are purged up to what was read, not to what is committed',
    edits: [
      {
        file: `${runtime}/commits.ts`,
        find: 'before: this.offsets.get(partitionId(topic, partition)) ?? 0,',
        replace: 'before: (this.offsets.get(partitionId(topic, partition)) ?? 0) + 3,',
      },
    ],
  },
  {
    name: 'purged-input-is-final',
    bug: 'an expelled member that meets what the new owner has purged stops for good',
    edits: [
      {
        file: `${runtime}/instance.ts`,
        find: "if (code === 'OFFSET_OUT_OF_RANGE') return Number(facts['offset']) > Number(facts['end']);",
        replace: "if (code === 'OFFSET_OUT_OF_RANGE') return true;",
      },
    ],
  },
  {
    name: 'no-epoch-check',
    bug: 'the log takes a commit from a producer that was replaced',
    edits: [
      {
        file: 'connectors/embedded/transaction-coordinator.ts',
        find: 'if (transaction?.producerId === grant.producerId && transaction.epoch === grant.epoch) return transaction;',
        replace: 'if (transaction?.producerId === grant.producerId) return transaction;',
      },
    ],
  },
];
