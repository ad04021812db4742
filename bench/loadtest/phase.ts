/** One phase of a load test: transfers handed in one way or another, and balances asked for meanwhile. */
import { systemClock } from '../../clock.ts';
import { bulkIntake, paths, recordIntake, type HttpClient, type Intake } from './intake.ts';
import { latenciesOf, openLoop, othersOf, type LaneFigures, type OpenLoopLane } from './open-loop.ts';
import { handIn, take } from './pace.ts';
import type { Settlements } from './settlements.ts';
import type { Target } from './target.ts';
import type { Command } from './transfers.ts';

const intakes = ['http', 'held', 'bulk', 'records', 'none'] as const;

export interface Phase {
  readonly text: string;
  readonly intake: (typeof intakes)[number];
  /** Per second; `max`: as many as are settled. */
  readonly rate: number | 'max';
  readonly queriesPerSecond: number;
}

export interface Scene {
  readonly drawn: Iterator<Command, never>;
  readonly settlements: Settlements;
  readonly client: HttpClient;
  readonly accounts: readonly string[];
  readonly target: Target;
}

export interface PhaseFigures {
  readonly accepted: number;
  /** From the first to the last. */
  readonly ms: number;
  /** Absent where commands were not handed in one by one. */
  readonly accepting: LaneFigures | undefined;
  readonly asking: LaneFigures | undefined;
}

const queriesPerSecondDefault = 50;
const accepted = 202;
const answered = 200;
/** How far ahead of time a settlement is looked out for. */
const registerMs = 20;

/** `http:100+900`, `bulk:max`, `none:0+1000`. */
export function parsePhase(text: string): Phase {
  const [, name = '', rate = '', queries = String(queriesPerSecondDefault)] =
    /^([a-z]+):(max|\d+)(?:\+(\d+))?$/.exec(text) ?? [];
  const intake = intakes.find((one) => one === name);
  if (intake === undefined || (isOneByOne(intake) && rate === 'max'))
    throw new Error(
      `${text} is no phase: http:RATE, held:RATE, bulk:RATE|max, records:RATE|max or none:0, perhaps +QUERIES`,
    );
  return { text, intake, rate: rate === 'max' ? rate : Number(rate), queriesPerSecond: Number(queries) };
}

/** Each command is a request of its own. */
function isOneByOne(intake: Phase['intake']): boolean {
  return intake === 'http' || intake === 'held';
}

export async function runPhase(
  phase: Phase,
  scene: Scene,
  { seconds, countMax }: { readonly seconds: number; readonly countMax: number },
): Promise<PhaseFigures> {
  const { intake, rate, queriesPerSecond } = phase;
  const requests = scene.accounts.map((id) => ({ method: 'GET', path: `/accounts/${id}/balance` }) as const);
  const asking = { perSecond: queriesPerSecond, count: Math.floor(queriesPerSecond * seconds), requests };
  if (!isOneByOne(intake) && intake !== 'none') return await beside(asking, scene, { phase, seconds, countMax });
  const count = rate === 'max' || intake === 'none' ? 0 : Math.min(countMax, Math.floor(rate * seconds));
  const commands = take(scene.drawn, count);
  if (intake !== 'held') return await inOpenLoop(asking, scene, { rate: Number(rate), commands });
  const { hold } = scene.target;
  if (hold === undefined) throw new Error('nobody but a process that answers has others beside it: take --answering');
  hold(true);
  try {
    return await inOpenLoop(asking, scene, { rate: Number(rate), commands });
  } finally {
    hold(false);
  }
}

async function inOpenLoop(
  asking: OpenLoopLane,
  { settlements, target: { urls } }: Scene,
  { rate, commands }: { readonly rate: number; readonly commands: readonly Command[] },
): Promise<PhaseFigures> {
  const requests = commands.map(
    ({ type, body }) => ({ method: 'POST', path: paths[type], body: JSON.stringify(body) }) as const,
  );
  const loop = openLoop(urls, process.env['API_TOKEN'], [
    asking,
    { perSecond: rate, count: commands.length, requests },
  ]);
  let given = 0;
  while (given < commands.length) {
    const aheadMs = systemClock.nowMs() + registerMs - loop.startMs;
    const due = commands.slice(given, Math.max(given, Math.ceil((aheadMs / 1_000) * rate)));
    settlements.sent(due);
    given += due.length;
    await systemClock.sleep(registerMs / 2);
  }
  const [asked, handed] = await loop.figures;
  const refused = commands.filter((_, index) => handed?.statuses[index] !== accepted);
  settlements.refused(refused);
  const ms = systemClock.nowMs() - loop.startMs;
  return { accepted: commands.length - refused.length, ms, accepting: handed, asking: asked };
}

/** Commands are handed in many at a time. */
async function beside(
  asking: OpenLoopLane,
  { drawn, settlements, client, target }: Scene,
  {
    phase: { intake: name, rate },
    seconds,
    countMax,
  }: { readonly phase: Phase; readonly seconds: number; readonly countMax: number },
): Promise<PhaseFigures> {
  const intake = await openIntake(name, client, target);
  const loop = openLoop(target.urls, process.env['API_TOKEN'], [asking]);
  const given = await handIn(drawn, intake, { settlements, rate, ms: seconds * 1_000, count: countMax });
  loop.stop();
  await intake.close();
  const [asked] = await loop.figures;
  return { ...given, accepting: undefined, asking: asked };
}

async function openIntake(name: Phase['intake'], client: HttpClient, { log, topics }: Target): Promise<Intake> {
  if (name === 'bulk') return bulkIntake(client);
  if (log === undefined) throw new Error('only the application can write to its log: take http or bulk');
  return await recordIntake(log, topics);
}

/** One line for each kind of request that there was. */
export function requestLines({ accepting, asking }: PhaseFigures): readonly string[] {
  return [
    ...linesOf('until accepted over HTTP', accepting, accepted),
    ...linesOf('balance queries over HTTP', asking, answered),
  ];
}

function linesOf(what: string, figures: LaneFigures | undefined, expected: number): readonly string[] {
  if (figures === undefined || figures.statuses.length === 0) return [];
  const late = latenciesOf({ ...figures, ms: figures.lateMs }, expected);
  const others = othersOf(figures, expected);
  return [
    `${what}, from when it was due: ${latenciesOf(figures, expected).toString()}; sent late by p99 ${(late.at(0.99) ?? NaN).toFixed(1)} ms`,
    ...(others === '' ? [] : [`  else: ${others}`]),
  ];
}
