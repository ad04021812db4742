/**
 * `npm run loadtest -- [--phases http:1000,records:max] [--seconds 10] [--accounts 1000] [--processes 1] [--commit-interval 100] [--log kafka|embedded]`
 *
 * How many transfers billing accepts and settles, and how long that takes: in phases of a way to hand them in (`http`, `bulk`, or `records` straight into the
 * log) and a rate per second (`max`: as many as are settled). Starts a broker (or takes `KAFKA_BROKERS`) and the application; or, with `--url` (several joined
 * by commas; `API_TOKEN` is sent along), loads one that runs, whose log `--kafka host:port --prefix P` name. Ends by itself, with an audit of all topics where the log
 * was started for it; exits with 1 if that finds anything. `--profile DIR` writes CPU profiles of the application there.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '../clock.ts';
import { auditTopics } from '../test/support/billing/topic-audit.ts';
import { readAll, until } from '../test/support/cluster.ts';
import { Latencies } from './loadtest/figures.ts';
import { HttpClient, bulkIntake, recordIntake, singleIntake, type Intake } from './loadtest/intake.ts';
import { handIn, type Rate } from './loadtest/pace.ts';
import { settlementsInLog, settlementsOverHttp, type Settlements } from './loadtest/settlements.ts';
import { runningTarget, startTarget, type Target } from './loadtest/target.ts';
import { accountsOf, fundings, openings, transfers, type Command } from './loadtest/transfers.ts';

/** For everything handed in to be settled. */
const drainMs = 120_000;
const queriesPerSecond = 50;

const { values } = parseArgs({
  options: {
    phases: { type: 'string', default: 'http:1000,records:max' },
    seconds: { type: 'string', default: '10' },
    'warm-up': { type: 'string', default: '5' },
    transfers: { type: 'string', default: '1000000' },
    accounts: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '1' },
    log: { type: 'string', default: 'kafka' },
    url: { type: 'string' },
    kafka: { type: 'string' },
    prefix: { type: 'string', default: '' },
    'commit-interval': { type: 'string', default: '100' },
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
    environment: { COMMIT_INTERVAL_MS: values['commit-interval'] },
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
  const phases = values.phases.split(',').map(parsePhase);
  for (const phase of phases) {
    const accepted = new Latencies();
    const intake = await openIntake(phase.intake, { client, log, topics, accepted });
    await measure(phase, { intake, drawn, settlements, accepted, client, accounts, target: loaded });
    await intake.close();
  }
  await settlements.stop();
  client.close();
  const settledLog = await loaded.settle();
  if (settledLog === undefined) return true;
  const report = await auditTopics((topic) => readAll(settledLog, topic), topics);
  console.log(`audit: ${JSON.stringify({ ...report, violations: report.violations.length })}`);
  for (const violation of report.violations.slice(0, 20)) console.log(`  ${violation}`);
  return report.violations.length === 0;
}

interface Phase {
  readonly intake: string;
  readonly rate: Rate;
}

function parsePhase(text: string): Phase {
  const [intake = '', rate = 'max'] = text.split(':');
  if (rate !== 'max' && !(Number(rate) > 0)) throw new Error(`${text} is no phase: its rate is a number, or max`);
  return { intake, rate: rate === 'max' ? rate : Number(rate) };
}

async function openIntake(
  name: string,
  given: Pick<Target, 'log' | 'topics'> & { readonly client: HttpClient; readonly accepted: Latencies },
): Promise<Intake> {
  if (name === 'http') return singleIntake(given.client, given.accepted);
  if (name === 'bulk') return bulkIntake(given.client);
  if (name !== 'records') throw new Error(`${name} is no intake: http, bulk or records`);
  if (given.log === undefined) throw new Error('only the application can write to its log: take http or bulk');
  return await recordIntake(given.log, given.topics);
}

interface Measuring {
  readonly intake: Intake;
  readonly drawn: Iterator<Command, never>;
  readonly settlements: Settlements;
  readonly accepted: Latencies;
  readonly client: HttpClient;
  readonly accounts: readonly string[];
  readonly target: Target;
}

async function measure({ intake: name, rate }: Phase, measuring: Measuring): Promise<void> {
  const { intake, drawn, settlements, accepted } = measuring;
  const pace = { settlements, rate, count: Number(values.transfers) };
  await handIn(drawn, intake, { ...pace, ms: Number(values['warm-up']) * 1_000 });
  await allSettled(settlements);
  settlements.reset();
  accepted.reset();
  const before = await measuring.target.cpuSeconds();
  const own = process.cpuUsage();
  const startMs = systemClock.monotonicMs();
  const querying = new AbortController();
  const asked = queries(measuring, querying.signal);
  const given = await handIn(drawn, intake, { ...pace, ms: Number(values.seconds) * 1_000 });
  querying.abort();
  const answered = await asked;
  await allSettled(settlements);
  const { settled: count, lastMs, latencies } = settlements;
  const { user, system } = process.cpuUsage(own);
  const after = await measuring.target.cpuSeconds();
  const perSecond = (count: number, ms: number): string => ((count / ms) * 1_000).toFixed(0);
  console.log(
    `\n${name}, ${rate === 'max' ? 'as fast as it goes' : `${String(rate)} a second`}: ${String(given.accepted)} transfers`,
  );
  console.log(`  accepted ${perSecond(given.accepted, given.ms)}/s, settled ${perSecond(count, lastMs - startMs)}/s`);
  console.log(`  from handed in to settled: ${latencies.toString()}`);
  if (accepted.count > 0) console.log(`  until accepted over HTTP: ${accepted.toString()}`);
  console.log(`  balance queries over HTTP: ${answered.toString()}`);
  const perThousand = (seconds: number): string => ((seconds / given.accepted) * 1_000).toFixed(2);
  const cpu = [...after].map(([who, seconds]) => `${who} ${perThousand(seconds - (before.get(who) ?? 0))}`);
  console.log(`  CPU seconds per 1,000 transfers: ${cpu.join(', ')}, load test ${perThousand((user + system) / 1e6)}`);
  console.log(`  load of the machine over the last minute: ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

async function allSettled(settlements: Settlements): Promise<void> {
  await until('everything is settled', () => settlements.underWay <= 0, drainMs);
}

/** Asks for balances, one after the other. */
async function queries({ client, accounts }: Measuring, signal: AbortSignal): Promise<Latencies> {
  const latencies = new Latencies();
  for (let index = 0; !signal.aborted; index += 1) {
    const startMs = performance.now();
    await client.ask(`/accounts/${accounts[index % accounts.length] ?? ''}/balance`, 200);
    latencies.add(performance.now() - startMs);
    await systemClock.sleep(1_000 / queriesPerSecond, signal);
  }
  return latencies;
}
