/** What a seed means: sizes, timings and faults. Data, so that a failing plan can be made smaller and run again. */
import { Chance } from './chance.ts';
import type { Fate } from './network.ts';

export type FaultKind =
  | 'crash'
  | 'crash-at-step'
  | 'crash-at-point'
  | 'power-loss'
  | 'wipe'
  | 'restart'
  | 'pause'
  | 'pause-at-point'
  | 'request-lost'
  | 'response-lost'
  | 'late'
  | 'slow-network'
  | 'coordinator-move'
  | 'slow-disk'
  | 'disk-full'
  | 'damage'
  | 'clock-skew';

/** One fault; what its numbers mean depends on the kind. */
export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** Index of the machine; -1: all. */
  readonly machine: number;
  /** How long it lasts: of a crash, until the restart. */
  readonly forMs: number;
  /** `crash-at-step`: which step. `clock-skew`: by how much, ms. Otherwise probability, or delay in ms. */
  readonly amount: number;
  /** The fault point of `…-at-point`. */
  readonly point: string;
}

export interface Plan {
  readonly seed: number;
  readonly machines: number;
  readonly partitions: number;
  readonly records: number;
  /** Faults and inputs come within this time; then all is healed. */
  readonly durationMs: number;
  readonly tuning: Tuning;
  readonly faults: readonly Fault[];
}

export interface Tuning {
  readonly commitIntervalMs: number;
  readonly commitGapMs: number;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly transactionTimeoutMs: number;
  readonly repartitionPurgeIntervalMs: number;
  readonly bufferedBytesMax: number;
  readonly fetchBytes: number;
  readonly latencyMs: number;
  readonly requestTimeoutMs: number;
  readonly markerDelayMs: number;
  readonly yieldMs: number;
  readonly diskMs: number;
}

export const faultKinds: readonly FaultKind[] = [
  'crash',
  'crash-at-step',
  'crash-at-point',
  'power-loss',
  'wipe',
  'restart',
  'pause',
  'pause-at-point',
  'request-lost',
  'response-lost',
  'late',
  'slow-network',
  'coordinator-move',
  'slow-disk',
  'disk-full',
  'damage',
  'clock-skew',
];

/** Where the engine names a point for faults; those in the middle of a commit come more often. */
const points = [
  'before-committed',
  'before-init-producer',
  'before-produce',
  'after-produce',
  'after-produce',
  'after-offsets',
  'after-offsets',
  'after-offsets',
  'after-commit',
  'before-apply',
  'after-apply',
] as const;

/** Which network fates a fault of a kind brings. */
export const fates: Partial<Record<FaultKind, Fate>> = {
  'request-lost': 'request lost',
  'response-lost': 'response lost',
  late: 'late',
  'slow-network': 'slow',
};

/** Swarm: each seed switches each kind of fault on or off, and draws how often it comes. */
export function drawPlan(seed: number): Plan {
  const chance = new Chance(seed, 'plan');
  const machines = chance.pick([1, 2, 3, 3, 4]);
  const durationMs = chance.between(2, 8) * 1000;
  const tuning = drawTuning(chance);
  const faults: Fault[] = [];
  for (const kind of faultKinds) {
    const count = chance.isTrue(0.4) ? chance.between(1, kind.includes('point') ? 6 : 3) : 0;
    for (let index = 0; index < count; index += 1)
      faults.push(drawFault(chance, kind, { machines, durationMs, tuning }));
  }
  faults.sort((a, b) => a.atMs - b.atMs);
  return {
    seed,
    machines,
    partitions: chance.pick([1, 1, 2, 3, 5]),
    records: chance.pick([20, 50, 100]),
    durationMs,
    tuning,
    faults,
  };
}

function drawTuning(chance: Chance): Tuning {
  return {
    commitIntervalMs: chance.pick([20, 100, 500]),
    commitGapMs: chance.pick([0, 20, 100]),
    sessionTimeoutMs: chance.pick([500, 1_500, 3_000]),
    rebalanceTimeoutMs: chance.pick([2_000, 6_000]),
    transactionTimeoutMs: chance.pick([1_000, 4_000, 10_000]),
    repartitionPurgeIntervalMs: chance.pick([500, 5_000, 30_000]),
    bufferedBytesMax: chance.pick([1_024, 4_096, 1_048_576]),
    fetchBytes: chance.pick([100, 500, 1_048_576]),
    latencyMs: chance.pick([1, 5, 40]),
    requestTimeoutMs: chance.pick([500, 2_000]),
    markerDelayMs: chance.pick([0, 0, 20, 300]),
    yieldMs: chance.pick([0.2, 1, 5]),
    diskMs: chance.pick([0.1, 2, 20]),
  };
}

function drawFault(
  chance: Chance,
  kind: FaultKind,
  { machines, durationMs, tuning }: Pick<Plan, 'machines' | 'durationMs' | 'tuning'>,
): Fault {
  const { sessionTimeoutMs, transactionTimeoutMs } = tuning;
  const outage =
    kind === 'pause-at-point'
      ? chance.pick([sessionTimeoutMs * 2, sessionTimeoutMs * 2, transactionTimeoutMs * 1.2])
      : chance.pick([50, 500, sessionTimeoutMs * 2, transactionTimeoutMs * 1.2]);
  const isWide = kind === 'coordinator-move' || chance.isTrue(0.2);
  return {
    kind,
    atMs: chance.next() * durationMs,
    machine: isWide && !isOfOneMachine(kind) ? -1 : chance.below(machines),
    forMs: outage * (0.4 + 0.8 * chance.next()),
    amount: amountOf(chance, kind),
    point: chance.pick(points),
  };
}

function isOfOneMachine(kind: FaultKind): boolean {
  return kind.startsWith('crash') || kind.startsWith('pause') || kind === 'damage' || kind === 'restart';
}

function amountOf(chance: Chance, kind: FaultKind): number {
  if (kind === 'crash-at-step') return chance.between(1, 60);
  if (kind === 'clock-skew') return chance.pick([-3_600_000, -1_000, 1_000, 86_400_000]);
  if (kind === 'slow-disk') return chance.pick([100, 1_000, 4_000]);
  return chance.pick([0.05, 0.3, 0.9]);
}
