/** Which routes of the applications are answered from the topologies of this process, and which are not. */
import type { FastifyRequest } from 'fastify';
import type { Application, RoutePorts } from '../api/app/application.ts';
import type { RoutesElsewhere } from '../api/elsewhere.ts';
import type { Routes } from '../api/routes.ts';
import { applications } from './applications.ts';

export interface AnsweredRoutes {
  readonly here: readonly Routes[];
  readonly elsewhere: readonly RoutesElsewhere[];
}

/** Of applications that run on request only, those that run here. */
export function routesOf(chosen: readonly Application[], ports: RoutePorts): AnsweredRoutes {
  const others = applications.filter((one) => one.isOnRequest !== true && !chosen.includes(one));
  const runs = (topology: string): boolean => chosen.some(({ name }) => name === topology);
  const here: Routes[] = chosen.flatMap(({ routes }) => routes?.(ports) ?? []);
  const elsewhere: RoutesElsewhere[] = others.flatMap(({ routes }) =>
    routes === undefined ? [] : [{ routes: routes(ports) }],
  );
  const shared = (some: readonly Application[]) => new Set(some.flatMap((one) => one.shared ?? []));
  const sharedHere = shared(chosen);
  for (const { routes, awaited } of sharedHere)
    if (runs(awaited)) here.push(routes(ports));
    else elsewhere.push({ routes: routes(ports), isMeant: waits });
  for (const one of shared(others)) if (!sharedHere.has(one)) elsewhere.push({ routes: one.routes(ports) });
  return { here, elsewhere };
}

function waits({ query }: FastifyRequest): boolean {
  const { wait = '0' } = query as { readonly wait?: string };
  return Number(wait) > 0;
}
