import { describe, expect, it } from '@jest/globals';
import {
  advanceSaga,
  isWaiting,
  sagaState,
  startSaga,
  timedOut,
  type SagaAdvance,
  type SagaStage,
  type StepAnswer,
} from '../../../../processors/app/billing/saga-engine.ts';

type Advance = SagaAdvance<StepAnswer, string>;

const applied: StepAnswer = { outcome: 'APPLIED' };
const refused = (code: string): StepAnswer => ({ outcome: 'REJECTED', code });

/** Stages with steps of these names; those in capitals cannot be undone. */
function stagesOf(...names: readonly (readonly string[])[]): readonly SagaStage<string>[] {
  return names.map((steps, index) => ({
    state: `STAGE-${index}`,
    isAfterPivot: index > 0,
    steps: steps.map((name) => {
      const undo = { name: `undo-${name}`, message: `undo-${name}` };
      return name === name.toUpperCase() ? { name, message: name } : { name, message: name, undo };
    }),
  }));
}

/** Answers everything that is sent until nothing is; returns it all in order, and how it ended. */
function run(stages: readonly SagaStage<string>[], answerOf: (name: string) => StepAnswer): [string[], Advance] {
  let advance: Advance = startSaga(stages);
  const queue = [...advance.send];
  const sent: string[] = [];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    sent.push(next.message);
    advance = advanceSaga(stages, advance.progress, { kind: 'answer', name: next.name, answer: answerOf(next.name) });
    queue.push(...advance.send);
  }
  return [sent, advance];
}

const stages = stagesOf(['a', 'b'], ['c'], ['d', 'e', 'f'], ['g']);
const steps = stages.flatMap(({ steps }) => steps.map(({ name }) => name));
const stageOf = (name: string): number => stages.findIndex((stage) => stage.steps.some((step) => step.name === name));
const sentBy = (name: string): string[] => steps.filter((step) => stageOf(step) <= stageOf(name));

describe('a saga', () => {
  it('runs its stages in order, the steps of each together', () => {
    const [sent, { progress }] = run(stages, () => applied);
    expect(sent).toEqual(steps);
    expect(progress.phase).toBe('completed');
    expect(isWaiting(progress)).toBe(false);
  });

  it.each(steps)('refused at %s, undoes in reverse exactly what was done, and fails with the code', (failing) => {
    const [sent, { progress }] = run(stages, (name) => (name === failing ? refused('no') : applied));
    const done = sentBy(failing).filter((name) => name !== failing);
    expect(sent).toEqual([...sentBy(failing), ...done.reverse().map((name) => `undo-${name}`)]);
    expect(progress).toMatchObject({ phase: 'failed', failure: 'no' });
  });

  const subsets = [[], ['d'], ['e'], ['f'], ['d', 'e'], ['d', 'f'], ['e', 'f'], ['d', 'e', 'f']];
  it.each(subsets.map((subset) => [subset]))('several refused at once (%j): the rest is undone once', (subset) => {
    const [sent] = run(stages, (name) => (subset.includes(name) ? refused(name) : applied));
    const undone = sent.filter((name) => name.startsWith('undo-'));
    const expected = ['a', 'b', 'c', 'd', 'e', 'f'].filter((name) => !subset.includes(name)).reverse();
    expect(undone).toEqual(subset.length === 0 ? [] : expected.map((name) => `undo-${name}`));
  });

  it.each(
    steps.flatMap((failing) =>
      sentBy(failing)
        .filter((name) => name !== failing)
        .map((undo) => [failing, undo]),
    ),
  )('refused at %s, and the undoing of %s refused as well: is stuck, not failed', (failing, undo) => {
    const [, { progress }] = run(stages, (name) =>
      name === failing || name === `undo-${undo}` ? refused('no') : applied,
    );
    expect(sagaState(stages, progress)).toBe('STUCK');
  });

  it('is stuck if something was done that cannot be undone', () => {
    const [, { progress }] = run(stagesOf(['A'], ['b']), (name) => (name === 'b' ? refused('no') : applied));
    expect(progress.phase).toBe('stuck');
  });

  it('that waits too long before the pivot gives up, and undoes also what has not answered', () => {
    const { progress } = startSaga<StepAnswer, string>(stages);
    const half = advanceSaga(stages, progress, { kind: 'answer', name: 'a', answer: applied }).progress;
    const given = advanceSaga(stages, half, { kind: 'timed-out', seq: half.seq });
    expect(given.send.map(({ name }) => name)).toEqual(['undo-b']);
    const next = advanceSaga(stages, given.progress, { kind: 'answer', name: 'undo-b', answer: applied });
    expect(next.send.map(({ name }) => name)).toEqual(['undo-a']);
    const late = advanceSaga(stages, next.progress, { kind: 'answer', name: 'b', answer: applied });
    expect(late).toEqual({ progress: next.progress, send: [] });
    const end = advanceSaga(stages, late.progress, { kind: 'answer', name: 'undo-a', answer: applied });
    expect(end.progress).toMatchObject({ phase: 'failed', failure: timedOut });
  });

  it('that waits too long after the pivot sends again what is unanswered', () => {
    let advance: Advance = startSaga(stages);
    for (const name of ['a', 'b', 'c', 'e'])
      advance = advanceSaga(stages, advance.progress, { kind: 'answer', name, answer: applied });
    const again = advanceSaga(stages, advance.progress, { kind: 'timed-out', seq: advance.progress.seq });
    expect(again.send.map(({ name }) => name)).toEqual(['d', 'f']);
    expect(sagaState(stages, again.progress)).toBe('STAGE-2');
  });

  describe('with a stage that is sent ahead', () => {
    const ahead = stages.map((stage, index) => (index === 2 ? { ...stage, isSentAhead: true as const } : stage));
    const answerAll = (given: Advance, names: readonly string[], answer = applied): Advance =>
      names.reduce((last, name) => advanceSaga(ahead, last.progress, { kind: 'answer', name, answer }), given);
    const posting = answerAll(startSaga(ahead), ['a', 'b']);
    const names = ({ send }: Advance): string[] => send.map(({ name }) => name);

    it('sends it with the one before, and goes on as the answers come, whichever is first', () => {
      expect(names(posting)).toEqual(['c', 'd', 'e', 'f']);
      const half = answerAll(posting, ['d', 'f']);
      expect([names(half), sagaState(ahead, half.progress)]).toEqual([[], 'STAGE-1']);
      const later = answerAll(half, ['c']);
      expect([names(later), sagaState(ahead, later.progress)]).toEqual([[], 'STAGE-2']);
      expect(names(answerAll(later, ['e']))).toEqual(['g']);
      const last = answerAll(posting, ['d', 'e', 'f', 'c']);
      expect([names(last), sagaState(ahead, last.progress)]).toEqual([['g'], 'STAGE-3']);
    });

    it.each(['c', 'd', 'e', 'f'])(
      'refused at %s, waits for whatever was sent, then undoes what was done',
      (failing) => {
        const others = ['c', 'd', 'e', 'f'].filter((name) => name !== failing);
        const waiting = answerAll(answerAll(posting, [failing], refused('no')), others.slice(0, 2));
        expect([names(waiting), waiting.progress.phase]).toEqual([[], 'forward']);
        const [sent, { progress }] = run(ahead, (name) => (name === failing ? refused('no') : applied));
        expect(sent.slice(6)).toEqual([...others.reverse(), 'b', 'a'].map((name) => `undo-${name}`));
        expect(progress).toMatchObject({ phase: 'failed', failure: 'no' });
      },
    );

    it('sends again all that is unanswered of what was sent', () => {
      const half = answerAll(posting, ['e']);
      const again = advanceSaga(ahead, half.progress, { kind: 'timed-out', seq: half.progress.seq });
      expect(names(again)).toEqual(['c', 'd', 'f']);
    });

    it('takes over from a version that sent nothing ahead: what it did not send is sent when its turn comes', () => {
      const handedOver = { ...posting, progress: { ...posting.progress, sent: 2 } };
      expect(answerAll(handedOver, ['d']).progress).toBe(handedOver.progress);
      expect(names(answerAll(handedOver, ['c']))).toEqual(['d', 'e', 'f']);
    });

    it('goes on when it is woken if such a version had it for a while, and left all of its answers unheeded', () => {
      const { progress } = answerAll(posting, ['d', 'e', 'f']);
      const left = { ...progress, stage: 2, sent: 3, answers: { ...progress.answers, c: applied } };
      expect(names(advanceSaga(ahead, left, { kind: 'timed-out', seq: left.seq }))).toEqual(['g']);
    });
  });

  it('takes no notice of a timer that was set before its last change, of a second answer, or of anything after its end', () => {
    const start = startSaga<StepAnswer, string>(stages);
    const half = advanceSaga(stages, start.progress, { kind: 'answer', name: 'a', answer: applied });
    const { progress } = half;
    expect(advanceSaga(stages, progress, { kind: 'timed-out', seq: start.progress.seq })).toEqual({
      progress,
      send: [],
    });
    expect(advanceSaga(stages, progress, { kind: 'answer', name: 'a', answer: refused('x') }).progress).toBe(progress);
    const [, end] = run(stages, () => applied);
    expect(advanceSaga(stages, end.progress, { kind: 'redrive' })).toEqual({ progress: end.progress, send: [] });
  });

  it('sends again what is unanswered when it is told to', () => {
    const { progress } = startSaga<StepAnswer, string>(stages);
    expect(advanceSaga(stages, progress, { kind: 'redrive' }).send.map(({ name }) => name)).toEqual(['a', 'b']);
  });
});
