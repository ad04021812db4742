/** Makes a failing plan smaller, as long as it fails: fewer faults, fewer machines, fewer records. */
import type { Plan } from './plan.ts';

/** Plans tried at most: each costs one run. */
const attemptsMax = 200;

export async function shrink(plan: Plan, isFailing: (candidate: Plan) => Promise<boolean>): Promise<Plan> {
  let smallest = plan;
  let attempts = 0;
  const keepIfFailing = async (candidate: Plan): Promise<boolean> => {
    attempts += 1;
    if (attempts > attemptsMax || !(await isFailing(candidate))) return false;
    smallest = candidate;
    return true;
  };
  for (let isSmaller = true; isSmaller && attempts < attemptsMax;) {
    isSmaller = false;
    for (let size = Math.ceil(smallest.faults.length / 2); size >= 1; size = Math.floor(size / 2))
      for (let from = 0; from < smallest.faults.length;) {
        const faults = smallest.faults.filter((_, index) => index < from || index >= from + size);
        if (await keepIfFailing({ ...smallest, faults })) isSmaller = true;
        else from += size;
      }
    for (const candidate of simpler(smallest)) if (await keepIfFailing(candidate)) isSmaller = true;
  }
  return smallest;
}

function simpler(plan: Plan): readonly Plan[] {
  const { records, partitions, machines, faults } = plan;
  const used = faults.reduce((highest, fault) => Math.max(highest, fault.machine + 1), 1);
  return [
    ...(records > 3 ? [{ ...plan, records: Math.floor(records / 2) }] : []),
    ...(partitions > 1 ? [{ ...plan, partitions: partitions - 1 }] : []),
    ...(machines > used ? [{ ...plan, machines: machines - 1 }] : []),
  ];
}
