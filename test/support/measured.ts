import type { Connector } from '../../connectors/connector.ts';

/** The sum of all measures with this name and these labels. */
export function measuredBy(
  connectors: readonly Connector[],
): (name: string, labels?: Readonly<Record<string, string>>) => number {
  return (name, labels = {}) =>
    connectors
      .flatMap((connector) => connector.measures())
      .filter((measure) => measure.name === name)
      .filter((measure) => Object.entries(labels).every(([label, value]) => measure.labels[label] === value))
      .reduce((sum, { value }) => sum + value, 0);
}
