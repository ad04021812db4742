/** The numbers of one instance, read when asked. */
import type { FailureCounts } from './counters.ts';
import type { Runtime } from './instance.ts';
import type { Task } from './task.ts';
import type { MetricSample } from './view.ts';

interface Definition {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
}

const taskMetrics: readonly (Definition & { readonly read: (task: Task) => number })[] = [
  {
    name: 'rivulet_records_consumed_total',
    help: 'Input records processed',
    type: 'counter',
    read: (task) => task.counters.consumed,
  },
  {
    name: 'rivulet_records_applied_total',
    help: 'Input records that had their full effect',
    type: 'counter',
    read: (task) => task.counters.applied,
  },
  {
    name: 'rivulet_records_dropped_total',
    help: 'Input records that ended as dropped by the rules of a step',
    type: 'counter',
    read: (task) => task.counters.droppedRecords,
  },
  {
    name: 'rivulet_records_skipped_total',
    help: 'Bad input records skipped by policy',
    type: 'counter',
    read: (task) => task.counters.skipped,
  },
  {
    name: 'rivulet_records_dead_lettered_total',
    help: 'Bad input records sent to the dead-letter topic',
    type: 'counter',
    read: (task) => task.counters.deadLettered,
  },
  {
    name: 'rivulet_records_parked_total',
    help: 'Input records put aside behind a failed one of their key; counted once more when they are processed',
    type: 'counter',
    read: (task) => task.counters.parked,
  },
  {
    name: 'rivulet_parked_keys',
    help: 'Keys that wait until a failed record of theirs was replayed or discarded',
    type: 'gauge',
    read: (task) => task.parked.keys,
  },
  {
    name: 'rivulet_parked_records',
    help: 'Records that are put aside now',
    type: 'gauge',
    read: (task) => task.parked.records,
  },
  {
    name: 'rivulet_record_retries_total',
    help: 'Tries of bad input records after the first',
    type: 'counter',
    read: (task) => task.counters.retries,
  },
  {
    name: 'rivulet_task_held',
    help: '1 while a bad record holds the task back: until its next try, or for good by the policy stop',
    type: 'gauge',
    read: (task) => (task.hold === undefined ? 0 : 1),
  },
  {
    name: 'rivulet_punctuations_total',
    help: 'Scheduled callbacks run',
    type: 'counter',
    read: (task) => task.counters.punctuations,
  },
  {
    name: 'rivulet_task_buffered_bytes',
    help: 'Fetched but not yet processed bytes',
    type: 'gauge',
    read: (task) => task.bufferedBytes,
  },
  {
    name: 'rivulet_task_uncommitted_bytes',
    help: 'State written since the last commit',
    type: 'gauge',
    read: (task) => task.storeBytes,
  },
  {
    name: 'rivulet_task_stream_time_ms',
    help: 'Highest event time seen',
    type: 'gauge',
    read: (task) => task.streamTimeMs,
  },
];

const instanceMetrics: readonly (Definition & { readonly read: (runtime: Runtime) => number })[] = [
  {
    name: 'rivulet_commits_total',
    help: 'Commits that succeeded',
    type: 'counter',
    read: (runtime) => runtime.commits.counts.count,
  },
  {
    name: 'rivulet_commit_failures_total',
    help: 'Commits that failed',
    type: 'counter',
    read: (runtime) => runtime.commits.counts.failed,
  },
  {
    name: 'rivulet_commit_seconds_total',
    help: 'Time spent in commits',
    type: 'counter',
    read: (runtime) => runtime.commits.counts.durationMs / 1_000,
  },
  {
    name: 'rivulet_records_produced_total',
    help: 'Records appended, changelogs included',
    type: 'counter',
    read: (runtime) => runtime.commits.counts.records,
  },
  {
    name: 'rivulet_rebalances_total',
    help: 'Assignments received',
    type: 'counter',
    read: (runtime) => runtime.membership.rebalances,
  },
  {
    name: 'rivulet_recoveries_total',
    help: 'Times all tasks were closed dirty and opened again',
    type: 'counter',
    read: (runtime) => runtime.recoveries,
  },
  {
    name: 'rivulet_tasks_running',
    help: 'Tasks that process',
    type: 'gauge',
    read: (runtime) => runtime.tasks?.running.size ?? 0,
  },
  {
    name: 'rivulet_tasks_restoring',
    help: 'Tasks that are being opened',
    type: 'gauge',
    read: (runtime) => runtime.tasks?.opening.size ?? 0,
  },
  {
    name: 'rivulet_tasks_standby',
    help: 'Tasks that are kept warm for other instances',
    type: 'gauge',
    read: ({ holdings }) => holdings?.standbys.tasks.size ?? 0,
  },
  {
    name: 'rivulet_restored_records_total',
    help: 'Changelog records read while tasks were taken over',
    type: 'counter',
    read: ({ holdings }) => holdings?.restorer.counts.records ?? 0,
  },
  {
    name: 'rivulet_restores_whole_total',
    help: 'Stores that were read in from the beginning of their changelogs',
    type: 'counter',
    read: ({ holdings }) => holdings?.restorer.counts.whole ?? 0,
  },
  {
    name: 'rivulet_restores_avoided_total',
    help: 'Stores that were there when their tasks were taken over, and had to read only what they had missed',
    type: 'counter',
    read: ({ holdings }) => holdings?.restorer.counts.tails ?? 0,
  },
  {
    name: 'rivulet_standby_records_total',
    help: 'Changelog records read by standbys',
    type: 'counter',
    read: ({ holdings }) => holdings?.follower.counts.records ?? 0,
  },
  {
    name: 'rivulet_paused',
    help: '1 while the instance was told to process nothing',
    type: 'gauge',
    read: (runtime) => (runtime.isPaused ? 1 : 0),
  },
  {
    name: 'rivulet_uncommitted_output_bytes',
    help: 'Outputs collected since the last commit',
    type: 'gauge',
    read: (runtime) => runtime.outputs.sizeBytes,
  },
];

export function collectMetrics(runtime: Runtime): readonly MetricSample[] {
  const application = runtime.options.applicationId;
  const samples: MetricSample[] = [];
  for (const { read, ...definition } of instanceMetrics)
    samples.push({ ...definition, labels: { application }, value: read(runtime) });
  for (const task of runtime.tasks?.running.values() ?? []) {
    const labels = { application, task: task.id };
    for (const { read, ...definition } of taskMetrics) samples.push({ ...definition, labels, value: read(task) });
    samples.push(...dropsOf(task, labels), ...failuresOf(task, labels), ...lagOf(runtime, task));
  }
  return [...samples, ...standbyLags(runtime)];
}

function standbyLags({ holdings, options }: Runtime): readonly MetricSample[] {
  if (holdings === undefined) return [];
  const { standbys } = holdings;
  return [...standbys.tasks.values()].flatMap((standby) => {
    const lag = standbys.lag(standby);
    if (lag === undefined) return [];
    return {
      name: 'rivulet_standby_lag',
      help: 'Changelog records that a standby has not read yet',
      type: 'gauge' as const,
      labels: { application: options.applicationId, task: standby.taskId },
      value: lag,
    };
  });
}

function dropsOf(task: Task, labels: Readonly<Record<string, string>>): readonly MetricSample[] {
  return [...task.counters.dropped].map(([reason, value]) => ({
    name: 'rivulet_drops_total',
    help: 'Drops by reason; one record may be dropped in several places',
    type: 'counter' as const,
    labels: { ...labels, reason },
    value,
  }));
}

const failureMetrics: readonly (Omit<Definition, 'type'> & { readonly read: (task: Task) => FailureCounts })[] = [
  {
    name: 'rivulet_dead_letters_total',
    help: 'Dead letters by code and reason of the failure; the reason is empty where none is named',
    read: ({ counters }) => counters.deadLetters,
  },
  {
    name: 'rivulet_skips_total',
    help: 'Bad input records skipped by policy, by code and reason of the failure; the reason is empty where none is named',
    read: ({ counters }) => counters.skips,
  },
];

function failuresOf(task: Task, labels: Readonly<Record<string, string>>): readonly MetricSample[] {
  return failureMetrics.flatMap(({ read, ...definition }) =>
    [...read(task).values()].map(({ code, reason, count }) => ({
      ...definition,
      type: 'counter' as const,
      labels: { ...labels, code, reason },
      value: count,
    })),
  );
}

function lagOf(runtime: Runtime, task: Task): readonly MetricSample[] {
  const samples: MetricSample[] = [];
  for (const queue of task.queues) {
    const position = runtime.reader?.position(queue);
    if (position?.end === undefined) continue;
    const { end, highWatermark = end } = position;
    const { applicationId: application } = runtime.options;
    const labels = { application, topic: queue.topic, partition: String(queue.partition) };
    samples.push(
      {
        name: 'kafka_consumer_lag',
        help: 'Offsets between what was processed and the end of the input',
        type: 'gauge',
        labels,
        value: Math.max(0, end - queue.nextOffset),
      },
      {
        name: 'rivulet_input_undecided_offsets',
        help: 'Offsets of the input that open transactions keep from being read',
        type: 'gauge',
        labels,
        value: Math.max(0, highWatermark - end),
      },
    );
  }
  return samples;
}
