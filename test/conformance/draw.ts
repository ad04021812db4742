/**
 * `npm run conformance:draw`: draws random cases, asks Kafka Streams what they give, and says where this engine differs; ends with 1 if it does.
 * `-- --seed 1 --count 20 --kinds 'window-.*'`; `--out FILE` keeps the cases with their answers.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { systemRandom } from '../../clock.ts';
import type { ConformanceCase, Output } from './format.ts';
import { generateCase, generatedKinds } from './generate.ts';
import { startKafkaStreams, type Answer } from './kafka-streams.ts';
import { runCase } from './run-case.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string', default: '20' },
    kinds: { type: 'string', default: '.*' },
    out: { type: 'string' },
  },
});
const first = Number(values.seed ?? Math.floor(systemRandom.next() * 2 ** 31));
const count = Number(values.count);
const pattern = new RegExp(`^(?:${values.kinds})$`);

const kafkaStreams = await startKafkaStreams();
const answered: ConformanceCase[] = [];
for (const kind of generatedKinds.filter((name) => pattern.test(name))) await compareKind(kind);
await kafkaStreams.close();
if (values.out !== undefined)
  await writeFile(values.out, `[\n${answered.map((of) => JSON.stringify(of)).join(',\n')}\n]\n`);

async function compareKind(kind: string): Promise<void> {
  const totals = { same: 0, different: 0, refused: 0 };
  for (let seed = first; seed < first + count; seed += 1) {
    const drawn = generateCase(kind, seed);
    const answer = await kafkaStreams.ask(drawn);
    if ('failed' in answer) {
      totals.refused += 1;
      continue;
    }
    const of = withAnswer(drawn, answer);
    answered.push(of);
    const result = await runCase(of);
    totals[result.outcome === 'passed' ? 'same' : 'different'] += 1;
    if (result.outcome === 'passed') continue;
    process.exitCode = 1;
    console.log(`${of.name} ${JSON.stringify(of.params)} ${JSON.stringify(of.functions)}`);
    console.log(`    ${result.outcome === 'failed' ? result.difference : result.reason}`);
  }
  const { same, different, refused } = totals;
  const refusals = refused === 0 ? '' : `, ${refused} refused by Kafka Streams`;
  console.log(`${kind}, seeds from ${first}: ${same} the same, ${different} different${refusals}`);
}

/** What the case should give; it ends where Kafka Streams fails. */
function withAnswer(drawn: ConformanceCase, { outputs, errors, drops, stores }: Answer): ConformanceCase {
  const failed = errors.findIndex((error) => error !== null);
  const steps = failed < 0 ? drawn.input.length : failed;
  const hasHeaders = drawn.tags?.includes('headers') === true;
  const driverOutput = Object.fromEntries(
    Object.entries(outputs).map(([name, list]) => [name, list.slice(0, steps).map((step) => shown(step, hasHeaders))]),
  );
  if (failed >= 0) {
    // Asserted of outputs that the failing step gave nothing to: some of what it caused may have gone on before.
    const expected = Object.fromEntries(
      Object.entries(driverOutput)
        .filter(([name]) => outputs[name]?.[failed]?.length === 0)
        .map(([name, list]) => [name, [...list, ['throws ""']]]),
    );
    return { ...drawn, input: drawn.input.slice(0, failed + 1), expected, driverOutput, verified: '4.3.1-driver' };
  }
  const rows = stores.at(-1) ?? [];
  return {
    ...drawn,
    driverOutput,
    droppedTotal: drops.at(-1) ?? 0,
    // How long rows stay in a store once they have been sent on is not part of the semantics.
    ...(rows.length === 0 || drawn.params.emit === 'close' ? {} : { storeFinal: rows }),
    verified: '4.3.1-driver',
  };
}

function shown(records: readonly Output[], hasHeaders: boolean): readonly Output[] {
  return hasHeaders
    ? records
    : records.map(({ key, value, ts }) => ({ key, value, ...(ts === undefined ? {} : { ts }) }));
}
