/** Sums up running instances in one line. */
import type { Clock } from '../clock.ts';
import type { InstanceView, TaskStatus } from '../topology/runtime/view.ts';

/** Makes the function that tells how things are; it measures rates between its calls. */
export function createProgress(instances: readonly InstanceView[], clock: Clock): () => string {
  let before: { readonly atMs: number; readonly records: number } | undefined;
  return () => {
    const atMs = clock.monotonicMs();
    const records = consumed(instances);
    const seconds = before === undefined ? 0 : (atMs - before.atMs) / 1_000;
    // Counters begin anew with each task: a rebalance must not show as a negative rate.
    const rate = before === undefined || seconds === 0 ? 0 : Math.max(0, records - before.records) / seconds;
    before = { atMs, records };
    const parts = [
      stateOf(instances),
      tasksOf(instances),
      `${count(records)} records`,
      `${count(Math.round(rate))}/s`,
      lagOf(instances),
    ];
    return parts.filter((part) => part !== '').join(' · ');
  };
}

const numbers = new Intl.NumberFormat('en');
const count = (value: number): string => numbers.format(value);

function stateOf(instances: readonly InstanceView[]): string {
  const states = [...new Set(instances.map(({ state }) => state))];
  return states.length === 0 ? 'starting' : states.join(', ');
}

function tasksOf(instances: readonly InstanceView[]): string {
  const tasks = instances.flatMap((instance) => instance.tasks()).filter(({ state }) => state !== 'standby');
  const running = tasks.filter(({ state }) => state === 'running').length;
  const restoring = tasks.filter(({ state }) => state === 'restoring');
  if (restoring.length === 0) return `${running} tasks`;
  return `${running} of ${tasks.length} tasks, restoring ${restoredShare(restoring)} %`;
}

function restoredShare(restoring: readonly TaskStatus[]): number {
  const sum = { restored: 0, total: 0 };
  for (const { restore } of restoring) {
    sum.restored += restore?.restored ?? 0;
    sum.total += restore?.total ?? 0;
  }
  return sum.total === 0 ? 0 : Math.floor((100 * sum.restored) / sum.total);
}

function consumed(instances: readonly InstanceView[]): number {
  let sum = 0;
  for (const instance of instances)
    for (const { name, value } of instance.metrics()) if (name === 'rivulet_records_consumed_total') sum += value;
  return sum;
}

function lagOf(instances: readonly InstanceView[]): string {
  const lags = instances
    .flatMap((instance) => instance.tasks())
    .flatMap(({ inputs }) => inputs.map(({ lag }) => lag))
    .filter((lag) => lag !== undefined);
  return lags.length === 0 ? '' : `lag ${count(lags.reduce((sum, lag) => sum + lag, 0))}`;
}
