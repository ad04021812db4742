/** Runs each mutant until a seed shows that something is wrong with it. */
import { register } from 'node:module';
import { mutants, type Mutant } from './mutants.ts';
import { drawPlan } from './plan.ts';
import type * as RunPlan from './run-plan.ts';
import type * as EngineScenario from './engine-scenario.ts';

export interface Trial {
  readonly name: string;
  /** The seed that killed it; `undefined`: it survived. */
  readonly seed: number | undefined;
  readonly seeds: number;
  readonly violation: string;
}

/** Those named, or all. Mutants live by module hooks: this works outside of a test runner only. */
export async function* tryMutants(
  names: readonly string[],
  firstSeed: number,
  seedsMax: number,
): AsyncGenerator<Trial> {
  const data = Object.fromEntries(mutants.map(({ name, edits }) => [name, edits]));
  register('./mutant-hooks.js', import.meta.url, { data });
  for (const mutant of mutants)
    if (names.length === 0 || names.includes(mutant.name)) yield await tryMutant(mutant, firstSeed, seedsMax);
}

async function tryMutant({ name }: Mutant, firstSeed: number, seedsMax: number): Promise<Trial> {
  const { runPlan } = (await import(`./run-plan.ts?mutant=${name}`)) as typeof RunPlan;
  const { engineScenario } = (await import(`./engine-scenario.ts?mutant=${name}`)) as typeof EngineScenario;
  for (let seeds = 1; seeds <= seedsMax; seeds += 1) {
    const seed = firstSeed + seeds - 1;
    const { violations } = await runPlan(drawPlan(seed), engineScenario, { isTraced: false });
    if (violations[0] !== undefined) return { name, seed, seeds, violation: violations[0].split('\n')[0] ?? '' };
  }
  return { name, seed: undefined, seeds: seedsMax, violation: '' };
}
