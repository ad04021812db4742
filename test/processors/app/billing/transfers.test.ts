import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { stagesOf } from '../../../../processors/app/billing/saga-definitions.ts';
import type { Movement, MovementRequest } from '../../../../schemas/app/billing/request.ts';
import { money, userTerms } from '../../../support/billing/commands.ts';
import { SagaBank, literalStages, type Stages } from '../../../support/billing/saga-bank.ts';

const accountIds = ['a0', 'a1', 'a2', 'a3'];
const maxBalance = money('15');

/** Twelve transfers among four accounts that are nearly full, and in what order everything moves. */
const schedules = fc.record({
  transfers: fc.array(
    fc.record({ from: fc.nat(3), to: fc.nat(3), amount: fc.constantFrom('1', '3', '5', '9').map(money) }),
    { minLength: 6, maxLength: 12 },
  ),
  choices: fc.array(fc.nat(1_000), { maxLength: 120 }),
});
interface Schedule {
  readonly transfers: readonly { readonly from: number; readonly to: number; readonly amount: bigint }[];
  readonly choices: readonly number[];
}

function movementsOf({ transfers }: Schedule): ReadonlyMap<string, Movement> {
  return new Map(
    transfers
      .filter(({ from, to }) => from !== to)
      .map(({ from, to, amount }, index) => [
        `t${index}`,
        { sourceAccountId: accountIds[from]!, destinationAccountId: accountIds[to]!, amount, currency: 'USD' },
      ]),
  );
}

/** Runs until nothing moves. Some messages come twice; with `interrupted` timers fire and accounts are frozen in between, and thawed at the end. */
function simulate(
  schedule: Schedule,
  stagesFor: (txId: string, movement: Movement) => Stages,
  interrupted: boolean,
): SagaBank {
  const bank = new SagaBank();
  for (const accountId of accountIds) bank.open(accountId, { ...userTerms, maxBalance }, money('10'));
  for (const [txId, movement] of movementsOf(schedule)) bank.start(txId, stagesFor(txId, movement));
  for (const [index, choice] of schedule.choices.entries()) {
    if (interrupted && choice % 11 === 0) bank.timeOut(choice);
    if (interrupted && choice % 13 === 0) {
      const base = { txId: 'operator', accountId: accountIds[choice % 4]!, effectiveAt: 1, commandId: `op-${index}` };
      bank.command({ ...base, kind: choice % 2 === 0 ? 'FREEZE' : 'UNFREEZE' });
    }
    bank.move(choice, choice % 7 === 0);
  }
  while (bank.move(0));
  return bank;
}

function twoHolds(txId: string, movement: Movement): Stages {
  const about = { idempotencyKey: txId, fingerprint: '', actorId: '', correlationId: '', requestedAt: 1 };
  const request: MovementRequest = { ...about, type: 'TRANSFER', txId, ...movement };
  return stagesOf({ request });
}

const isStranded = (bank: SagaBank): boolean => bank.auditor.total('transit:') !== 0n;

describe('transfers with holds on both sides', () => {
  it('I-M1 to I-M4, I-M6, I-M7: strand nothing in any schedule, with duplicates, timers and frozen accounts; each ends once, fully or not at all', () => {
    fc.assert(
      fc.property(schedules, fc.boolean(), (schedule, interrupted) => {
        const bank = simulate(schedule, twoHolds, interrupted);
        expect(isStranded(bank)).toBe(false);
        expect(bank.auditor.holds.size).toBe(0);
        for (const [txId, { sourceAccountId, destinationAccountId, amount }] of movementsOf(schedule)) {
          const { phase } = bank.sagas.get(txId)!.progress;
          const whole = [
            [sourceAccountId, -amount],
            [destinationAccountId, amount],
          ];
          expect(['completed', 'failed']).toContain(phase);
          expect([...bank.movedBy(txId)].sort()).toEqual(phase === 'completed' ? whole.sort() : []);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('the order reserve, debit, credit, release with reverse movements strands money under the same schedules; holds on both sides do not', () => {
    const samples = fc.sample(schedules, { numRuns: 300, seed: 11 });
    const literal = samples.filter((schedule) => isStranded(simulate(schedule, literalStages, false)));
    const held = samples.filter((schedule) => isStranded(simulate(schedule, twoHolds, false)));
    expect(literal.length).toBeGreaterThan(0);
    expect(held).toEqual([]);
  });
});
