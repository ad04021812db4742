/**
 * Carries a saga on by one input. Pure and generic: it knows steps, their order, and how to undo them, but not what they do.
 *
 * A saga runs its stages in order. The steps of a stage are sent together; once all were applied, the next stage begins, which may have been sent
 * ahead. If one is refused, or time runs out before the pivot, what was done is undone step by step in reverse. After the pivot there is only
 * forward: time that runs out means to send again. Steps must be idempotent by their name.
 */

/** How a step ended. */
export interface StepAnswer {
  readonly outcome: 'APPLIED' | 'REJECTED';
  /** Why not. */
  readonly code?: string;
}

/** Something to be sent, called by a name that is unique in its saga. */
export interface SagaMessage<M> {
  readonly name: string;
  readonly message: M;
}

export interface SagaStep<M> extends SagaMessage<M> {
  /** Absent: what it did cannot be undone. */
  readonly undo?: SagaMessage<M>;
}

export interface SagaStage<M> {
  /** What the saga is called while it waits for the stage. */
  readonly state: string;
  readonly steps: readonly SagaStep<M>[];
  /** Whether waiting too long means to send again rather than to give up. */
  readonly isAfterPivot: boolean;
  /** Its steps are sent with those of the stage before: they need nothing of what that does, and cannot be refused. */
  readonly isSentAhead?: true;
}

export interface SagaProgress<A extends StepAnswer> {
  /** `stuck`: a step or its undoing was refused when it could not be: someone has to look. */
  readonly phase: 'forward' | 'undoing' | 'completed' | 'failed' | 'stuck';
  /** Counts changes: a timer that was set for an earlier one is void. */
  readonly seq: number;
  /** The stage that runs, or ran last. */
  readonly stage: number;
  /** How many of the stages were sent, the one that runs included. */
  readonly sent: number;
  /** By the name of the step or of its undoing; the first answer counts. */
  readonly answers: Readonly<Record<string, A>>;
  /** Names of the steps still to be undone, the current one first. */
  readonly undoing: readonly string[];
  /** Why it is undone, or was. */
  readonly failure?: string;
}

export type SagaInput<A extends StepAnswer> =
  | { readonly kind: 'answer'; readonly name: string; readonly answer: A }
  | { readonly kind: 'timed-out'; readonly seq: number }
  | { readonly kind: 'redrive' };

export interface SagaAdvance<A extends StepAnswer, M> {
  /** The very object passed in if the input changes nothing. */
  readonly progress: SagaProgress<A>;
  readonly send: readonly SagaMessage<M>[];
}

export const timedOut = 'timed_out';

/** The first progress of a saga, and what it sends. `stages` are not empty. */
export function startSaga<A extends StepAnswer, M>(stages: readonly SagaStage<M>[]): SagaAdvance<A, M> {
  return enter(stages, { phase: 'forward', seq: 1, stage: 0, sent: 0, answers: {}, undoing: [] });
}

/** Whether a saga waits for something. */
export function isWaiting({ phase }: SagaProgress<StepAnswer>): boolean {
  return phase === 'forward' || phase === 'undoing';
}

/** What was sent and not yet answered. */
function outstanding<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  { phase, stage, sent, answers, undoing }: SagaProgress<A>,
): readonly SagaMessage<M>[] {
  if (phase === 'forward') return stepsOf(stages, stage, sent).filter(({ name }) => answers[name] === undefined);
  const current = stages.flatMap(({ steps }) => steps).find(({ name }) => name === undoing[0]);
  return phase === 'undoing' && current?.undo !== undefined ? [current.undo] : [];
}

function stepsOf<M>(stages: readonly SagaStage<M>[], from: number, to: number): readonly SagaStep<M>[] {
  return stages.slice(from, to).flatMap(({ steps }) => steps);
}

/** Sends the stage that runs, and what goes ahead with it, as far as that is not sent. */
function enter<A extends StepAnswer, M>(stages: readonly SagaStage<M>[], progress: SagaProgress<A>): SagaAdvance<A, M> {
  let sent = Math.max(progress.sent, progress.stage + 1);
  while (stages[sent]?.isSentAhead === true) sent += 1;
  return { progress: { ...progress, sent }, send: stepsOf(stages, progress.sent, sent) };
}

/** `stages` may have grown since the last input, but only behind the stage that runs. */
export function advanceSaga<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
  input: SagaInput<A>,
): SagaAdvance<A, M> {
  if (!isWaiting(progress)) return { progress, send: [] };
  if (input.kind === 'answer') return answered(stages, progress, input);
  if (input.kind === 'redrive') return { progress, send: outstanding(stages, progress) };
  if (input.seq !== progress.seq) return { progress, send: [] };
  const mayGiveUp = progress.phase === 'forward' && stages[progress.stage]?.isAfterPivot !== true;
  if (mayGiveUp) return undo(stages, { ...progress, failure: timedOut }, stepsOf(stages, 0, progress.sent));
  const later = { ...progress, seq: progress.seq + 1 };
  const send = outstanding(stages, later);
  return send.length === 0 ? goOn(stages, later) : { progress: later, send };
}

function answered<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
  { name, answer }: { readonly name: string; readonly answer: A },
): SagaAdvance<A, M> {
  const isExpected = outstanding(stages, progress).some((message) => message.name === name);
  if (!isExpected) return { progress, send: [] };
  const known = { ...progress, seq: progress.seq + 1, answers: { [name]: answer, ...progress.answers } };
  return progress.phase === 'undoing' ? undone(stages, known, answer) : goOn(stages, known);
}

/** As far as the answers go. What was refused is undone once everything that was sent has answered. */
function goOn<A extends StepAnswer, M>(stages: readonly SagaStage<M>[], progress: SagaProgress<A>): SagaAdvance<A, M> {
  const { answers, stage, sent } = progress;
  const all = stepsOf(stages, 0, sent);
  const refusal = all.map(({ name }) => answers[name]).find((answer) => answer?.outcome === 'REJECTED');
  const awaited = refusal === undefined ? stepsOf(stages, stage, stage + 1) : all;
  if (awaited.some(({ name }) => answers[name] === undefined)) return { progress, send: [] };
  if (refusal !== undefined) {
    const applied = all.filter(({ name }) => answers[name]?.outcome === 'APPLIED');
    return undo(stages, { ...progress, failure: refusal.code ?? 'rejected' }, applied);
  }
  if (stage + 1 === stages.length) return { progress: { ...progress, phase: 'completed' }, send: [] };
  const next = { ...progress, stage: stage + 1 };
  return next.stage < sent ? goOn(stages, next) : enter(stages, next);
}

function undo<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
  steps: readonly SagaStep<M>[],
): SagaAdvance<A, M> {
  if (steps.some((step) => step.undo === undefined)) return { progress: { ...progress, phase: 'stuck' }, send: [] };
  const undoing = steps.map(({ name }) => name).reverse();
  return undoNext(stages, { ...progress, phase: 'undoing', seq: progress.seq + 1, undoing });
}

function undone<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
  answer: A,
): SagaAdvance<A, M> {
  if (answer.outcome === 'REJECTED') return { progress: { ...progress, phase: 'stuck' }, send: [] };
  return undoNext(stages, { ...progress, undoing: progress.undoing.slice(1) });
}

function undoNext<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
): SagaAdvance<A, M> {
  if (progress.undoing.length === 0) return { progress: { ...progress, phase: 'failed' }, send: [] };
  return { progress, send: outstanding(stages, progress) };
}

/** The state's name, as transitions and queries show it. */
export function sagaState<M>(stages: readonly SagaStage<M>[], progress: SagaProgress<StepAnswer>): string {
  const names = { undoing: 'RELEASING', completed: 'COMPLETED', failed: 'FAILED', stuck: 'STUCK' };
  return progress.phase === 'forward' ? (stages[progress.stage]?.state ?? 'FORWARD') : names[progress.phase];
}

/** Of a saga that is stuck: the state in which something was refused that could not be. */
export function stuckState<M>(stages: readonly SagaStage<M>[], progress: SagaProgress<StepAnswer>): string {
  return sagaState(stages, { ...progress, phase: progress.undoing.length === 0 ? 'forward' : 'undoing' });
}
