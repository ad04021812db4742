/** The bytes an instance exchanges with its group, made from what it knows. */
import type { JoinedMember } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { encodeAssignment, encodeClaims } from './assignment.ts';
import type { AssignmentData, MemberClaims } from './assignment.ts';
import { assignTasks } from './assignor.ts';
import type { ResolvedOptions } from './options.ts';
import { taskIds } from './plan-tasks.ts';
import type { Prepared } from './prepare.ts';

type Known = Pick<MemberClaims, 'startedAtMs' | 'generation' | 'ownedTasks' | 'fingerprint'> & {
  readonly transactionalId: string | undefined;
};

/** What a member says of itself when it joins. */
export async function describeMember(options: ResolvedOptions, known: Known): Promise<Uint8Array> {
  const { transactionalId, ...claims } = known;
  const { instanceId, advertisedUrl } = options;
  return encodeClaims({
    ...claims,
    instanceId,
    storedTasks: await storedTasks(options),
    ...(advertisedUrl === undefined ? {} : { url: advertisedUrl }),
    ...(transactionalId === undefined ? {} : { transactionalId }),
  });
}

async function storedTasks({ host, applicationId }: ResolvedOptions): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (const { path } of await host.stores.list()) {
    const [application, task] = path;
    if (application === applicationId && task !== undefined) ids.add(task);
  }
  return [...ids].sort();
}

/** On the leader: what each member gets. */
export function assignMembers(
  members: readonly JoinedMember[],
  prepared: Prepared,
  last: AssignmentData | undefined,
): ReadonlyMap<string, Uint8Array> {
  const { assignments } = assignTasks({
    members,
    tasks: taskIds(prepared.plan),
    fingerprint: prepared.fingerprint,
    previous: last?.peers ?? [],
    dead: last?.deadTransactionalIds ?? [],
  });
  return new Map([...assignments].map(([memberId, data]) => [memberId, encodeAssignment(data)]));
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
