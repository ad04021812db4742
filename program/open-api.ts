/** The API of this program: the engine's routes, and those of the applications that run. */
import type { FastifyInstance } from 'fastify';
import { measuresOf, type Application } from '../api/app/application.ts';
import { noBacklog, type Backlog } from '../api/app/backlog.ts';
import type { CustomerShadow } from '../api/app/customer-shadow.ts';
import { fixedRollout, type RolloutPort } from '../api/app/rollout-port.ts';
import { noRegister } from '../api/app/request-register.ts';
import { rolloutRoutes } from '../api/app/rollout-routes.ts';
import { rebuildRoutes } from '../api/app/rebuild-routes.ts';
import type { SourceWatch } from '../api/app/source-routes.ts';
import { createApi } from '../api/server.ts';
import { systemClock as clock, systemRandom as random, type Logger } from '../clock.ts';
import type { Connector } from '../connectors/connector.ts';
import type { Database } from '../connectors/database.ts';
import type { Log } from '../connectors/log.ts';
import type { OutgoingRecord, WrittenRecord } from '../connectors/outgoing-record.ts';
import type { RecordFormat } from '../schemas/app/record-format.ts';
import { createDeadLetterDesk, type DeadLetterDesk } from '../topology/runtime/dead-letter-desk.ts';
import type { StreamInstance } from '../topology/runtime/stream-instance.ts';
import { noSources } from './application-connectors.ts';
import { applicationIdOf, topologyOf } from './applications.ts';
import type { Generations } from './generations.ts';
import { version } from './guide.ts';
import { routesOf } from './routes-of.ts';
import type { Schemas } from './record-schemas.ts';
import type { RecordWriter } from './record-writer.ts';
import type { OpenRegister } from './request-register.ts';
import type { Settings } from './settings.ts';

/** For requests under way when it closes. */
const apiCloseMs = 1_000;

export interface ApiParts {
  readonly schemas: Schemas;
  readonly writer: RecordWriter;
  readonly chosen: readonly Application[];
  readonly instances: readonly StreamInstance[];
  readonly deadLetters: readonly DeadLetterDesk[];
  readonly logger: Logger;
  readonly connectors?: readonly Connector[];
  readonly sources?: SourceWatch;
  readonly view?: Database | undefined;
  readonly generations?: ReadonlyMap<string, Generations>;
  readonly log?: Log;
  readonly shadow?: CustomerShadow | undefined;
  readonly rollout?: RolloutPort;
  readonly register?: OpenRegister;
  readonly backlog?: Backlog;
  /** The instances that run a topology here. */
  readonly instancesOf?: (topology: string) => readonly StreamInstance[];
}

export function openApi(settings: Settings, parts: ApiParts): FastifyInstance {
  const {
    chosen,
    instances,
    deadLetters,
    logger,
    writer,
    schemas,
    connectors = [],
    sources = noSources,
    generations,
    log,
    view,
    shadow,
    rollout = fixedRollout,
    register = noRegister,
    backlog = noBacklog,
    instancesOf = () => [],
  } = parts;
  const { host, advertisedUrl, otherTopologiesUrl, allowInsecure, rateLimitPerSecond, topicPrefix } = settings;
  const write = (record: OutgoingRecord): Promise<WrittenRecord> => writer.write(record);
  const { format } = schemas;
  const ports = { write, register, backlog, topicPrefix, format, sources, log, view, shadow, rollout };
  const answered = routesOf(chosen, ports);
  const projections = chosen.flatMap(({ name, projections: declared }) =>
    (declared?.(ports) ?? []).map((one) => ({ ...one, rebuilding: generations?.get(name) })),
  );
  return createApi({
    instances,
    clock,
    logger,
    host,
    deadLetters,
    measures: async () => [
      ...connectors.flatMap((connector) => connector.measures()),
      ...(await measuresOf(chosen, instances)),
    ],
    waitsFor: () => [
      ...(instances.length === 0 && chosen.some(({ topology }) => topology !== undefined) ? ['topics'] : []),
      ...(parts.register?.isReady === false ? ['requests that were accepted before'] : []),
    ],
    routes: [
      ...schemas.routes,
      rolloutRoutes({ rollout, clock, instancesOf, topologies: chosen.map(({ name }) => name) }),
      ...answered.here,
      rebuildRoutes({ projections, log, instances }),
    ],
    apiToken: settings.apiToken?.reveal(),
    adminToken: settings.adminToken?.reveal(),
    allowInsecure,
    elsewhere: { url: otherTopologiesUrl, routes: answered.elsewhere },
    peerHosts: [...settings.peerHosts, ...hostsOf(advertisedUrl, otherTopologiesUrl)],
    rateLimitPerSecond,
    version: version(),
  });
}

function hostsOf(...urls: readonly (string | undefined)[]): readonly string[] {
  return urls.flatMap((url) => (url === undefined ? [] : [new URL(url).hostname]));
}

/** For the applications that put records aside. */
export function desksOf(
  chosen: readonly Application[],
  settings: Settings,
  { log, format }: LogAndFormat,
): readonly DeadLetterDesk[] {
  return chosen
    .flatMap((one) => {
      const topology = topologyOf(one, settings, format)?.();
      return topology === undefined ? [] : { applicationId: applicationIdOf(settings, one.name), topology };
    })
    .filter(({ topology }) => topology.settings.deadLetterTopic !== undefined)
    .map((application) => createDeadLetterDesk({ ...application, log, clock, random }));
}

export interface LogAndFormat {
  readonly log: Log;
  readonly format: RecordFormat;
}

/** Lets answers that are under way go out, for a moment. */
export async function closeApi(api: FastifyInstance): Promise<void> {
  const timer = clock.timer(apiCloseMs, () => api.server.closeAllConnections());
  await api.close();
  timer.cancel();
}
