/** One member of the application's group: it joins, opens the tasks it is given, processes, commits, and recovers. */
import type { Reader } from '../../connectors/log.ts';
import { asStreamError, assert, hasCode, type StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import { Commits } from './commits.ts';
import { Committer } from './committer.ts';
import { FenceStorm } from './fence-storm.ts';
import { GlobalStores } from './global-stores.ts';
import { Holdings } from './holdings.ts';
import { Intake } from './intake.ts';
import { Membership } from './membership.ts';
import { resolveOptions } from './options.ts';
import type { InstanceOptions, ResolvedOptions } from './options.ts';
import { Outputs } from './outputs.ts';
import { withPatience } from './patience.ts';
import { taskIdOf } from './plan-tasks.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { Setbacks } from './setbacks.ts';
import type { Moment } from './setbacks.ts';
import { Exclusive, Signal } from './signal.ts';
import type { TaskSet } from './task-set.ts';
import type { Task } from './task.ts';
import type { TaskStore } from './task-store.ts';
import { TopicWatch } from './topic-watch.ts';
import type { InstanceState } from './view.ts';

/** A slice of processing: whichever comes first, then timers, heartbeats and queries get their turn, before any other instance of the process. */
const slice = { recordsMax: 500, ms: 2 } as const;
/** Longest sleep of an idle loop. */
const idleWaitMs = 500;

export class Runtime {
  readonly options: ResolvedOptions;
  readonly outputs = new Outputs();
  readonly commits: Commits;
  readonly membership: Membership;
  state: InstanceState = 'created';
  prepared: Prepared | undefined;
  holdings: Holdings | undefined;
  reader: Reader | undefined;
  recoveries = 0;
  #isPaused = false;

  readonly #signal: Signal;
  readonly #exclusive = new Exclusive();
  readonly #committer: Committer;
  readonly #fences = new FenceStorm();
  readonly #setbacks = new Setbacks();
  #failure: StreamError | undefined;
  #intake: Intake | undefined;
  #watch: TopicWatch | undefined;
  globals: GlobalStores | undefined;
  #error: StreamError | undefined;
  #loops: Promise<void>[] = [];
  #isClosing = false;
  #turn = 0;

  constructor(options: InstanceOptions) {
    this.options = resolveOptions(options);
    this.#committer = new Committer(this.options);
    this.#signal = new Signal(this.options.host.clock);
    this.commits = new Commits({
      options: this.options,
      outputs: this.outputs,
      committer: this.#committer,
      tasks: () => this.#running(),
      member: () => this.membership.member,
      prepared: () => this.prepared,
      failed: (error) => {
        this.#raise(error);
      },
      ended: () => {
        this.#signal.notify();
      },
    });
    this.membership = this.#makeMembership();
  }

  /** Resolves once the instance takes part in its group; waits for the log and for missing topics. Rejects for what waiting cannot mend. */
  async start(): Promise<void> {
    assert(this.state === 'created', 'an instance starts once');
    this.state = 'rebalancing';
    const { host } = this.options;
    const prepared = await this.#patiently('preparing topics', () => prepare(this.options, this.outputs));
    if (prepared === undefined) return;
    this.prepared = prepared;
    const reader = host.log.reader({ isolation: 'read_committed' });
    this.reader = reader;
    const globals = new GlobalStores({ options: this.options, prepared, isClosing: () => this.#isClosing });
    this.globals = globals;
    await this.#patiently('reading global tables', () => globals.start());
    const holdings = this.#makeHoldings(prepared, reader);
    this.holdings = holdings;
    await holdings.openStored();
    await this.#openCommitter();
    if (this.#isClosing) return;
    this.membership.join(holdings);
    const intake = this.#makeIntake(reader);
    const watch = this.#makeWatch(prepared);
    this.#intake = intake;
    this.#watch = watch;
    const loops = [this.#process(intake), intake.run(), watch.run(), globals.run(), holdings.cleanUp()];
    this.#loops = loops.map((loop) => this.#guard(loop));
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#signal.notify();
  }

  /** Why it failed, or what it waits for. */
  get failure(): StreamError | undefined {
    const ours = this.#failure ?? this.#watch?.missing ?? this.#intake?.failure ?? this.tasks?.openingFailure;
    if (ours !== undefined || this.state === 'closed') return ours;
    const isIdle = ![...this.#running()].some((task) => task.isDirty);
    return this.#setbacks.failure(this.#moment(), isIdle);
  }

  /** Commits, leaves the group and releases everything. Resolves to false when `timeoutMs` ran out first; the rest goes on in the background. */
  async close(timeoutMs = 10_000, isForGood = false): Promise<boolean> {
    if (this.state === 'closed') return true;
    const controller = new AbortController();
    const done = this.#shutDown(isForGood).then(() => true);
    const late = this.options.host.clock.sleep(timeoutMs, controller.signal).then(() => false);
    const isInTime = await Promise.race([done, late]);
    controller.abort();
    return isInTime;
  }

  async #shutDown(isForGood: boolean): Promise<void> {
    const isFailed = this.state === 'failed';
    if (!isFailed) this.state = 'closing';
    this.#stopLoops();
    await Promise.all(this.#loops);
    await this.#exclusive.run(async () => {
      await this.commits.settled();
      if (!isFailed && this.#error === undefined) await this.commits.now().catch(() => undefined);
      await this.tasks?.closeAll();
    });
    await this.membership.leave(isForGood);
    await this.holdings?.close();
    await this.globals?.close();
    await this.reader?.close();
    await this.#committer.discard();
    if (!isFailed) this.state = 'closed';
  }

  #stopLoops(): void {
    this.#isClosing = true;
    this.#signal.notify();
    this.#watch?.stop();
    this.reader?.wakeup();
    this.globals?.wakeup();
    this.holdings?.stop();
  }

  /** What runs or is being opened here; `undefined` before the start. */
  get tasks(): TaskSet | undefined {
    return this.holdings?.tasks;
  }

  async #patiently<T>(what: string, attempt: () => Promise<T>): Promise<T | undefined> {
    const result = await withPatience(this.options.host, {
      what,
      attempt,
      isCancelled: () => this.#isClosing,
      waiting: (error) => {
        this.#failure = error;
      },
    });
    this.#failure = undefined;
    return result;
  }

  async #openCommitter(): Promise<void> {
    await this.#patiently('opening the producer', () => this.#committer.open());
  }

  #makeMembership(): Membership {
    return new Membership({
      options: this.options,
      commits: this.commits,
      transactionalId: this.#committer.transactionalId,
      exclusive: this.#exclusive,
      isClosing: () => this.#isClosing,
      hasFailed: () => this.#error !== undefined,
      failed: (error) => {
        this.#raise(error);
      },
      renew: async () => {
        this.#error = undefined;
        await this.#openCommitter();
      },
      refused: (error) => {
        this.#failure = error;
      },
      changed: () => {
        this.#refreshState();
        this.#signal.notify();
      },
    });
  }

  #makeHoldings(prepared: Prepared, reader: Reader): Holdings {
    return new Holdings({
      options: this.options,
      prepared,
      reader,
      outputs: this.outputs,
      globals: () => this.globals?.stores ?? new Map<string, TaskStore>(),
      messageBytesMax: (topic) => this.outputs.messageBytesMax(topic),
      wake: () => this.#signal.notify(),
      warmedUp: () => {
        this.membership.warmedUp();
      },
      deadTransactionalIds: () => this.membership.assignment?.deadTransactionalIds ?? [],
      opened: (task) => {
        for (const { topic, partition, nextOffset } of task.queues)
          this.commits.offsets.set(partitionId(topic, partition), nextOffset);
        this.options.host.logger.info('task runs', { taskId: task.id });
        this.#refreshState();
        this.reader?.wakeup();
        this.#signal.notify();
      },
      failed: (error) => {
        this.#raise(error);
      },
    });
  }

  #makeIntake(reader: Reader): Intake {
    return new Intake({
      options: this.options,
      reader,
      isClosing: () => this.#isClosing,
      ownerOf: (topic, partition) => {
        const id = this.prepared === undefined ? undefined : taskIdOf(this.prepared.plan, topic, partition);
        return id === undefined ? undefined : this.tasks?.running.get(id);
      },
      arrived: () => {
        this.#signal.notify();
      },
      failed: (error) => {
        if (hasCode(error, 'TOPIC_UNKNOWN')) this.#watch?.hurry();
        if (error.retry !== 'with-backoff') this.#raise(error);
      },
    });
  }

  #makeWatch({ plan, topics: known }: Prepared): TopicWatch {
    const failed = (error: StreamError): void => {
      this.#raise(error);
    };
    return new TopicWatch({ options: this.options, plan, known, failed });
  }

  #running(): Iterable<Task> {
    return this.tasks?.running.values() ?? [];
  }

  #refreshState(): void {
    if (this.state !== 'rebalancing' && this.state !== 'running') return;
    const isOpen = this.#error === undefined && this.tasks?.opening.size === 0;
    this.state = this.membership.isMember && isOpen ? 'running' : 'rebalancing';
  }

  async #guard(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (error) {
      this.#fail(asStreamError(error));
    }
  }

  async #process(intake: Intake): Promise<void> {
    const { clock } = this.options.host;
    while (!this.#isClosing) {
      if (this.#error !== undefined) await this.#recover(this.#error);
      const processed = this.#runSlice(intake);
      if (this.#error === undefined) this.commits.startIfDue(processed === 0);
      if (processed === 0) await this.#signal.wait(this.#idleMs());
      // Also after a wait: many instances may have been woken at once.
      await clock.yield();
    }
  }

  #runSlice(intake: Intake): number {
    if (this.#error !== undefined || this.#isPaused || this.commits.isOverfull) return 0;
    const tasks = [...this.#running()];
    const { clock } = this.options.host;
    const deadlineMs = clock.monotonicMs() + slice.ms;
    let processed = 0;
    try {
      for (let turn = 0; turn < tasks.length; turn += 1) {
        const task = tasks[(this.#turn + turn) % tasks.length];
        if (task === undefined || task.isSuspended) continue;
        if (clock.nowMs() >= task.nextPunctuationMs) processed += task.punctuate();
        processed += task.process(Math.ceil(slice.recordsMax / tasks.length), deadlineMs);
        intake.resume(task);
      }
      this.#turn += 1;
    } catch (error) {
      this.#raise(error);
    }
    return processed;
  }

  #idleMs(): number {
    const nowMs = this.options.host.clock.nowMs();
    let dueMs: number = idleWaitMs;
    for (const task of this.#running()) {
      if (task.isSuspended) continue;
      if (!this.#isPaused) dueMs = Math.min(dueMs, task.nextPunctuationMs - nowMs, task.retryInMs, task.idleMs);
      if (task.isDirty) dueMs = Math.min(dueMs, this.commits.gapLeftMs);
    }
    return Math.max(1, dueMs);
  }

  #raise(error: unknown): void {
    this.#error ??= asStreamError(error);
    this.#refreshState();
    this.#signal.notify();
  }

  async #recover(error: StreamError): Promise<void> {
    if (isFinal(error)) {
      await this.#exclusive.run(async () => {
        await this.commits.settled();
        await this.tasks?.closeAll();
      });
      this.#fail(error);
      return;
    }
    this.recoveries += 1;
    this.options.host.sometimes(`recovering: ${error.code}`);
    this.options.host.logger.warn('recovering', { code: error.code, error: error.message, ...error.facts });
    if (hasCode(error, 'PRODUCER_FENCED')) await this.#fences.pause(this.options);
    if (hasCode(error, 'TOPIC_UNKNOWN')) this.#watch?.hurry();
    await this.#exclusive.run(async () => {
      if (this.#error !== undefined && !this.#isClosing) await this.#reopen(error);
    });
  }

  /** All tasks dirty-closed, a fresh producer, positions read again. */
  async #reopen(error: StreamError): Promise<void> {
    await this.commits.settled();
    await this.tasks?.closeAll();
    await this.options.host.clock.sleep(this.#setbacks.note(error, this.#moment()));
    await this.#openCommitter();
    this.#error = undefined;
    if (hasCode(error, 'MEMBER_FENCED', 'PRODUCER_FENCED', 'REBALANCE_IN_PROGRESS'))
      this.membership.member?.rejoin('recovering');
    // Without membership, what was assigned last is nobody's to open: the next assignment says what is.
    else if (this.membership.isMember) for (const id of this.membership.assignment?.tasks ?? []) this.tasks?.open(id);
    this.#refreshState();
  }

  #moment(): Moment {
    return { nowMs: this.options.host.clock.monotonicMs(), commitCount: this.commits.counts.count };
  }

  #fail(error: StreamError): void {
    this.#failure = error;
    this.state = 'failed';
    const { code, message, facts, stack, cause } = error;
    const reason = cause instanceof Error ? cause.message : undefined;
    this.options.host.logger.error('the instance stopped', { code, error: message, ...facts, cause: reason, stack });
    this.#stopLoops();
    this.#shutDown(false).catch(() => undefined);
  }
}

/**
 * What neither waiting nor opening everything again can mend. Damage of a store is mended by opening it again, and a position that the start of the log
 * has overtaken by taking over again: a new owner, of whom this instance has not heard yet, has purged what it consumed, or retention has removed it.
 */
function isFinal({ code, retry, facts }: StreamError): boolean {
  if (code === 'STORE_CORRUPT' || code === 'STORE_FOREIGN' || code === 'STORE_NOT_OPEN') return false;
  if (code === 'OFFSET_OUT_OF_RANGE') return Number(facts['offset']) > Number(facts['end']);
  return retry === 'never';
}
