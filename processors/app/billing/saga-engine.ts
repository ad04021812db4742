/**
 * Carries a saga on by one input. Pure and generic: it knows steps, their order, and how to undo them, but not what they do.
 *
 * A saga runs its stages in order. The steps of a stage are sent together; once all were applied, the next stage begins. If one is refused, or
 * time runs out before the pivot, what was done is undone step by step in reverse. After the pivot there is only forward: time that runs out
 * means to send again. Steps must be idempotent by their name.
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
}

export interface SagaProgress<A extends StepAnswer> {
  /** `stuck`: a step or its undoing was refused when it could not be: someone has to look. */
  readonly phase: 'forward' | 'undoing' | 'completed' | 'failed' | 'stuck';
  /** Counts changes: a timer that was set for an earlier one is void. */
  readonly seq: number;
  /** The stage that runs, or ran last. */
  readonly stage: number;
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
  const progress = { phase: 'forward', seq: 1, stage: 0, answers: {}, undoing: [] } as const;
  return { progress, send: outstanding(stages, progress) };
}

/** Whether a saga waits for something. */
export function isWaiting({ phase }: SagaProgress<StepAnswer>): boolean {
  return phase === 'forward' || phase === 'undoing';
}

/** What was sent and not yet answered. */
function outstanding<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  { phase, stage, answers, undoing }: SagaProgress<A>,
): readonly SagaMessage<M>[] {
  if (phase === 'forward') return stepsOf(stages, stage).filter(({ name }) => answers[name] === undefined);
  const current = stages.flatMap(({ steps }) => steps).find(({ name }) => name === undoing[0]);
  return phase === 'undoing' && current?.undo !== undefined ? [current.undo] : [];
}

function stepsOf<M>(stages: readonly SagaStage<M>[], stage: number): readonly SagaStep<M>[] {
  return stages[stage]?.steps ?? [];
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
  if (mayGiveUp) return undo(stages, { ...progress, failure: timedOut }, sentSteps(stages, progress));
  const later = { ...progress, seq: progress.seq + 1 };
  return { progress: later, send: outstanding(stages, later) };
}

function answered<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
  { name, answer }: { readonly name: string; readonly answer: A },
): SagaAdvance<A, M> {
  const isExpected = outstanding(stages, progress).some((message) => message.name === name);
  if (!isExpected) return { progress, send: [] };
  const known = { ...progress, seq: progress.seq + 1, answers: { ...progress.answers, [name]: answer } };
  return progress.phase === 'undoing' ? undone(stages, known, answer) : stepDone(stages, known);
}

function stepDone<A extends StepAnswer, M>(
  stages: readonly SagaStage<M>[],
  progress: SagaProgress<A>,
): SagaAdvance<A, M> {
  const answers = stepsOf(stages, progress.stage).map(({ name }) => progress.answers[name]);
  if (answers.includes(undefined)) return { progress, send: [] };
  const refusal = answers.find((answer) => answer?.outcome === 'REJECTED');
  if (refusal !== undefined) {
    const applied = sentSteps(stages, progress).filter(({ name }) => progress.answers[name]?.outcome === 'APPLIED');
    return undo(stages, { ...progress, failure: refusal.code ?? 'rejected' }, applied);
  }
  const isLast = progress.stage + 1 === stages.length;
  const next: SagaProgress<A> = isLast
    ? { ...progress, phase: 'completed' }
    : { ...progress, stage: progress.stage + 1 };
  return { progress: next, send: isLast ? [] : outstanding(stages, next) };
}

function sentSteps<M>(stages: readonly SagaStage<M>[], { stage }: SagaProgress<StepAnswer>): readonly SagaStep<M>[] {
  return stages.slice(0, stage + 1).flatMap(({ steps }) => steps);
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
