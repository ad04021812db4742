/** `npm run sim`: runs seeds, makes what fails smaller, prints what happened, and whether every rare path was reached. */
import { parseArgs } from 'node:util';
import { systemRandom } from '../../clock.ts';
import { Campaign, scenarios } from './campaign.ts';
import { tryMutants } from './mutant-trials.ts';
import { drawPlan } from './plan.ts';
import { runPlan, type Outcome } from './run-plan.ts';
import type { Scenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import { timeline } from './trace.ts';

/** Seeds between two lines that say how far it is. */
const seedsPerLine = 100;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    scenario: { type: 'string' },
    trace: { type: 'boolean', default: false },
    whole: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
  },
});

/** Fresh unless given; mutants begin with the first, so that their tests do the same each time. */
const first = Number(values.seed ?? (values.mutants ? 1 : Math.floor(systemRandom.next() * 2 ** 31)));
const count = values.trace ? 1 : Number(values.seeds ?? (values.mutants ? 200 : 100));

if (values.mutants) await killMutants();
else
  for (const scenario of scenarios)
    if (values.scenario === undefined || values.scenario === scenario.name) await simulate(scenario);

async function simulate(scenario: Scenario): Promise<void> {
  const campaign = new Campaign(scenario);
  for (let seed = first; seed < first + count; seed += 1) {
    const outcome = await runPlan(drawPlan(seed), scenario, { isTraced: values.trace });
    campaign.add(outcome);
    if (values.trace) print(outcome);
    if (outcome.violations.length > 0) {
      process.exitCode = 1;
      console.log(`seed ${seed} of ${scenario.name} fails: ${outcome.violations.join('; ')}`);
      if (!values.trace) await explain(outcome, scenario);
      break;
    }
    if ((seed - first + 1) % seedsPerLine === 0) console.log(`${scenario.name}: ${seed - first + 1} seeds`);
  }
  console.log(campaign.report(first));
}

/** The smallest plan that still fails, and what happens in it. */
async function explain({ plan }: Outcome, scenario: Scenario): Promise<void> {
  const smallest = await shrink(plan, async (candidate) => {
    const { violations } = await runPlan(candidate, scenario, { isTraced: false });
    return violations.length > 0;
  });
  console.log(`made smaller: ${JSON.stringify(smallest)}`);
  print(await runPlan(smallest, scenario, { isTraced: true }));
}

function print({ trace }: Outcome): void {
  console.log(timeline(trace.lines, values.whole));
  console.log(`trace ${trace.hash}`);
}

async function killMutants(): Promise<void> {
  for await (const { name, seed, seeds, violation } of tryMutants(positionals, first, count)) {
    if (seed === undefined) process.exitCode = 1;
    console.log(
      seed === undefined
        ? `${name} survived ${seeds} seeds`
        : `${name} killed by seed ${seed} (${seeds}): ${violation}`,
    );
  }
}
