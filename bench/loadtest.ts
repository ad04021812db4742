/**
 * `npm run loadtest -- [--phases http:100+900,records:max] [--seconds 10] [--accounts 1000] [--processes 1] [--commit-interval 100] [--log kafka|embedded]`
 *
 * How many transfers billing accepts and settles, and how long that takes: in phases of a way to hand them in (`http`: one a request, at a fixed rate;
 * `held`: likewise, while whoever works them off stands still, as if it had other cores; `bulk`; `records`: straight into the log; `none`) and a rate per
 * second (`max`: as many as are settled), with so many balance queries a second beside them (50 unless said with `+`). Starts a broker (or takes
 * `KAFKA_BROKERS`) and the application; or, with `--url` (several joined by commas; `API_TOKEN` is sent along), loads one that runs, whose log
 * `--kafka host:port --prefix P` name. Ends by itself, with an audit of all topics where the log was started for it; exits with 1 if that finds anything.
 * `--profile DIR` writes CPU profiles of the application there.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '../clock.ts';
import { auditTopics } from '../test/support/billing/topic-audit.ts';
import { readAll, until } from '../test/support/cluster.ts';
import { HttpClient, bulkIntake } from './loadtest/intake.ts';
import { handIn } from './loadtest/pace.ts';
import { parsePhase, requestLines, runPhase, type Phase, type PhaseFigures, type Scene } from './loadtest/phase.ts';
import { settlementsInLog, settlementsOverHttp, type Settlements } from './loadtest/settlements.ts';
import { runningTarget, startTarget, type Target } from './loadtest/target.ts';
import { accountsOf, fundings, openings, transfers } from './loadtest/transfers.ts';

/** For everything handed in to be settled. */
const drainMs = 120_000;

const { values } = parseArgs({
  options: {
    phases: { type: 'string', default: 'http:100+900,records:max' },
    seconds: { type: 'string', default: '10' },
    'warm-up': { type: 'string', default: '5' },
    transfers: { type: 'string', default: '1000000' },
    accounts: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '1' },
    answering: { type: 'string' },
    log: { type: 'string', default: 'kafka' },
    url: { type: 'string' },
    kafka: { type: 'string' },
    prefix: { type: 'string', default: '' },
    'commit-interval': { type: 'string', default: '100' },
    'backlog-max': { type: 'string', default: '0' },
    'allow-remote': { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});

const target = await openTarget();
try {
  process.exitCode = (await run(target)) ? 0 : 1;
} finally {
  await target.stop();
}
process.exit();

async function openTarget(): Promise<Target> {
  const { url, kafka: brokers, prefix } = values;
  if (url !== undefined)
    return runningTarget({ urls: url.split(','), brokers, prefix, isRemoteAllowed: values['allow-remote'] });
  return await startTarget({
    log: values.log === 'embedded' ? 'embedded' : 'kafka',
    processes: Number(values.processes),
    answering: values.answering?.split(','),
    environment: { COMMIT_INTERVAL_MS: values['commit-interval'], BACKLOG_MAX: values['backlog-max'] },
    nodeArgs: [
      // As `npm start` has it.
      '--max-semi-space-size=64',
      ...(values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]),
    ],
  });
}

async function run(loaded: Target): Promise<boolean> {
  const { urls, log, topics } = loaded;
  const client = new HttpClient(urls, process.env['API_TOKEN']);
  const settlements =
    log === undefined ? settlementsOverHttp(client) : await settlementsInLog(log, topics.transactionEvents.name);
  const name = `load-${systemRandom.uuid().slice(0, 8)}`;
  const accounts = accountsOf(name, Number(values.accounts));
  const setUp = bulkIntake(client);
  for (const commands of [openings(accounts), fundings(accounts)]) {
    await handIn(commands.values(), setUp, { settlements, rate: 'max', ms: Infinity, count: commands.length });
    await allSettled(settlements);
    settlements.reset();
  }
  const drawn = transfers(name, accounts, () => systemRandom.next());
  for (const phase of values.phases.split(',').map(parsePhase))
    await measure(phase, { drawn, settlements, client, accounts, target: loaded });
  await settlements.stop();
  client.close();
  const settledLog = await loaded.settle();
  if (settledLog === undefined) return true;
  const report = await auditTopics((topic) => readAll(settledLog, topic), topics);
  console.log(`audit: ${JSON.stringify({ ...report, violations: report.violations.length })}`);
  for (const violation of report.violations.slice(0, 20)) console.log(`  ${violation}`);
  return report.violations.length === 0;
}

async function measure(phase: Phase, scene: Scene): Promise<void> {
  const { settlements, target: loaded } = scene;
  const countMax = Number(values.transfers);
  await runPhase(phase, scene, { seconds: Number(values['warm-up']), countMax });
  await allSettled(settlements);
  settlements.reset();
  const before = await loaded.cpuSeconds();
  const own = process.cpuUsage();
  const startMs = systemClock.monotonicMs();
  const figures = await runPhase(phase, scene, { seconds: Number(values.seconds), countMax });
  const endMs = systemClock.monotonicMs();
  const { underWay } = settlements;
  const meanwhile = await loaded.cpuSeconds();
  await allSettled(settlements);
  const { user, system } = process.cpuUsage(own);
  console.log(`\n${phase.text}: ${String(figures.accepted)} transfers`);
  if (figures.accepted > 0) showSettled(figures, settlements, { startMs, endMs, underWay });
  for (const line of requestLines(figures)) console.log(`  ${line}`);
  const cores = (seconds: number): number => seconds / ((endMs - startMs) / 1_000);
  console.log(`  cores used until then: ${used(before, meanwhile, cores)}`);
  const perThousand = (seconds: number): number => (seconds / figures.accepted) * 1_000;
  const all = new Map(await loaded.cpuSeconds()).set('load test', (user + system) / 1e6);
  if (figures.accepted > 0) console.log(`  CPU seconds per 1,000 transfers: ${used(before, all, perThousand)}`);
  console.log(`  load of the machine over the last minute: ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

function showSettled(
  { accepted, ms }: PhaseFigures,
  { settled, lastMs, latencies }: Settlements,
  { startMs, endMs, underWay }: { readonly startMs: number; readonly endMs: number; readonly underWay: number },
): void {
  const perSecond = (count: number, duringMs: number): string => ((count / duringMs) * 1_000).toFixed(0);
  console.log(`  accepted ${perSecond(accepted, ms)}/s, settled ${perSecond(settled, lastMs - startMs)}/s`);
  const restMs = Math.max(0, lastMs - endMs);
  console.log(`  left to settle at the end: ${String(underWay)}, which took ${(restMs / 1_000).toFixed(1)} s`);
  console.log(`  from handed in to settled: ${latencies.toString()}`);
}

type Seconds = ReadonlyMap<string, number>;

function used(before: Seconds, after: Seconds, unit: (seconds: number) => number): string {
  return [...after].map(([who, seconds]) => `${who} ${unit(seconds - (before.get(who) ?? 0)).toFixed(2)}`).join(', ');
}

async function allSettled(settlements: Settlements): Promise<void> {
  await until('everything is settled', () => settlements.underWay <= 0, drainMs);
}
