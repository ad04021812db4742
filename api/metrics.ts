/** Prometheus: what instances measure, how requests went, and how the process is. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { InstanceView, MetricSample } from '../topology/runtime/view.ts';

export interface ApiMetrics {
  readonly contentType: string;
  observeRequest(
    labels: { readonly method: string; readonly route: string; readonly status: string },
    seconds: number,
  ): void;
  /** The page that Prometheus scrapes. */
  render(): Promise<string>;
}

export function createApiMetrics(
  instances: readonly InstanceView[],
  measures: () => Promise<readonly MetricSample[]> = () => Promise.resolve([]),
): ApiMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: 'rivulet_http_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.01, 0.03, 0.05, 0.1, 0.5, 1, 2.5, 10],
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    observeRequest: (labels, seconds) => requests.observe(labels, seconds),
    render: async () => Registry.merge([registry, registryOf(instances, await measures())]).metrics(),
  };
}

/** A registry of this moment's samples: instances and connectors keep their own counters. */
function registryOf(instances: readonly InstanceView[], others: readonly MetricSample[]): Registry {
  const registry = new Registry();
  const byName = new Map<string, MetricSample[]>();
  const add = (sample: MetricSample): void => {
    const samples = byName.get(sample.name);
    if (samples === undefined) byName.set(sample.name, [sample]);
    else samples.push(sample);
  };
  for (const view of instances)
    for (const sample of view.metrics())
      add({ ...sample, labels: { application: view.applicationId, instance: view.instanceId, ...sample.labels } });
  for (const sample of others) add(sample);
  for (const samples of byName.values()) addMetric(registry, samples);
  return registry;
}

function addMetric(registry: Registry, samples: readonly MetricSample[]): void {
  const [first] = samples;
  if (first === undefined) return;
  const options = {
    name: first.name,
    help: first.help,
    labelNames: [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))],
    registers: [registry],
  };
  if (first.type === 'counter') {
    const counter = new Counter(options);
    for (const { labels, value } of samples) counter.inc(labels, value);
    return;
  }
  const gauge = new Gauge(options);
  for (const { labels, value } of samples) gauge.set(labels, value);
}
