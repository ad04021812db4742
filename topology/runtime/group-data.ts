/** The bytes an instance exchanges with its group, made from what it knows. */
import type { JoinedMember } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import type { Plan } from '../plan.ts';
import { encodeAssignment, encodeClaims } from './assignment.ts';
import type { AssignmentData, MemberClaims } from './assignment.ts';
import { assignTasks } from './assignor.ts';
import type { TaskToAssign } from './assignor.ts';
import type { ResolvedOptions } from './options.ts';
import { taskId } from './plan-tasks.ts';
import type { Prepared } from './prepare.ts';

/** The group waits for its leader: no longer than this for the ends of changelogs, without which it decides less well. */
const endsWaitMs = 2_000;

type Known = Omit<MemberClaims, 'instanceId' | 'url' | 'positions' | 'transactionalId'> & {
  readonly positions: ReadonlyMap<string, number>;
  readonly transactionalId: string | undefined;
};

/** What a member says of itself when it joins. */
export function describeMember({ instanceId, advertisedUrl }: ResolvedOptions, known: Known): Uint8Array {
  const { transactionalId, positions, ...claims } = known;
  return encodeClaims({
    ...claims,
    instanceId,
    positions: Object.fromEntries(positions),
    ...(advertisedUrl === undefined ? {} : { url: advertisedUrl }),
    ...(transactionalId === undefined ? {} : { transactionalId }),
  });
}

export interface AssignedMembers {
  readonly userData: ReadonlyMap<string, Uint8Array>;
  /** Tasks that run elsewhere than they belong until somebody has caught up. */
  readonly misplacedCount: number;
}

/** On the leader: what each member gets. */
export async function assignMembers(
  options: ResolvedOptions,
  prepared: Prepared,
  group: { readonly members: readonly JoinedMember[]; readonly last: AssignmentData | undefined },
): Promise<AssignedMembers> {
  const { members, last } = group;
  // Alone there is nothing to compare.
  const ends = members.length > 1 ? await changelogEnds(options, prepared.plan) : new Map<string, number>();
  const { assignments, misplacedCount } = assignTasks({
    members,
    tasks: tasksOf(prepared.plan, ends),
    fingerprint: prepared.fingerprint,
    limits: options,
    previous: last?.peers ?? [],
    dead: last?.deadTransactionalIds ?? [],
  });
  const userData = new Map([...assignments].map(([memberId, data]) => [memberId, encodeAssignment(data)]));
  return { userData, misplacedCount };
}

function tasksOf({ subTopologies }: Plan, ends: ReadonlyMap<string, number>): readonly TaskToAssign[] {
  return subTopologies.flatMap(({ id, partitions, stores }) => {
    const isStateful = stores.some(({ changelogTopic }) => changelogTopic !== undefined);
    return Array.from({ length: partitions }, (_, partition) => {
      const task = taskId(id, partition);
      return { id: task, isStateful, end: ends.get(task) };
    });
  });
}

/** By task, summed up over its changelogs; empty when the log does not answer in time. */
async function changelogEnds(options: ResolvedOptions, plan: Plan): Promise<ReadonlyMap<string, number>> {
  const { host } = options;
  const asked = plan.subTopologies.flatMap(({ id, partitions, stores }) =>
    stores.flatMap(({ changelogTopic: topic, source }) =>
      topic === undefined
        ? []
        : Array.from({ length: partitions }, (_, partition) => ({
            task: taskId(id, partition),
            topic,
            partition,
            isInput: source !== undefined,
          })),
    ),
  );
  const ends = new Map<string, number>();
  const enough = new AbortController();
  const late = host.clock.sleep(endsWaitMs, enough.signal).then(() => []);
  try {
    const found = await Promise.race([endsOf(options, asked), late]);
    for (const [index, end] of found.entries()) {
      const task = asked[index]?.task ?? '';
      ends.set(task, (ends.get(task) ?? 0) + end);
    }
  } catch (error) {
    host.logger.warn('assigning without the ends of changelogs', {
      error: error instanceof Error ? error.message : 'unknown',
    });
  } finally {
    enough.abort();
  }
  return ends;
}

interface Changelog extends TopicPartition {
  /** The topic of a table: nobody follows it further than it was processed. */
  readonly isInput: boolean;
}

async function endsOf(
  { host, applicationId }: ResolvedOptions,
  changelogs: readonly Changelog[],
): Promise<readonly number[]> {
  const { admin } = host.log;
  const [offsets, committed] = await Promise.all([
    admin.offsets(changelogs),
    admin.committed(
      applicationId,
      changelogs.filter(({ isInput }) => isInput),
      { requireStable: false },
    ),
  ]);
  const consumed = committed.values();
  return changelogs.map(({ isInput }, index) =>
    isInput ? (consumed.next().value?.offset ?? 0) : (offsets[index]?.stable ?? 0),
  );
}

/** Why a member gets nothing on purpose. */
export function refusalError(refusal: NonNullable<AssignmentData['refusal']>, instanceId: string): StreamError {
  const facts = { instanceId };
  if (refusal === 'INSTANCE_ID_TAKEN')
    return new StreamError('INSTANCE_ID_TAKEN', 'another live instance uses this instance id: this one gets no tasks', {
      facts,
    });
  return new StreamError(
    'TOPOLOGY_INVALID',
    'the group leader runs another topology under this application id: this instance gets no tasks until all run the same',
    { facts },
  );
}
