import { afterEach, describe, expect, test } from '@jest/globals';
import { registryPath, registryRoutes } from '../../../api/registry-routes.ts';
import { systemClock } from '../../../clock.ts';
import { StreamError } from '../../../errors.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { openEmbeddedRegistry, type EmbeddedRegistry } from '../../../connectors/registry/embedded-registry.ts';
import { schemaRegistryContract, type RegistryUnderTest } from '../../contracts/schema-registry-contract.ts';
import { apiOf } from '../../api/fake-instance.ts';
import { faultyLog } from '../../support/faulty-log.ts';

const open = async (log: Log): Promise<EmbeddedRegistry> =>
  await openEmbeddedRegistry({ log, topic: '_schemas', clock: systemClock });

const schemaOf = (...fields: readonly string[]): string =>
  JSON.stringify({
    type: 'record',
    name: 'Thing',
    fields: fields.map((name) => ({ name, type: ['null', 'string'], default: null })),
  });

async function served(): Promise<RegistryUnderTest> {
  const log = memoryLog();
  const registry = await open(log);
  const api = apiOf([], { routes: [registryRoutes(registry)], rateLimitPerSecond: 0 });
  const url = await api.listen({ host: '127.0.0.1', port: 0 });
  return {
    url: `${url}${registryPath}`,
    stop: async () => {
      await api.close();
      await registry.close();
      await log.close();
    },
  };
}

schemaRegistryContract('embedded', served);

describe('the embedded registry', () => {
  const logs: Log[] = [];
  afterEach(async () => {
    await Promise.all(logs.splice(0).map((log) => log.close()));
  });

  test('opened again it knows subjects, numbers, levels and what was deleted', async () => {
    const log = memoryLog();
    logs.push(log);
    const first = await open(log);
    const id = await first.register('a-value', schemaOf('x'), 'FULL_TRANSITIVE');
    await first.register('b-value', schemaOf('y'), 'BACKWARD');
    await first.remove(first.versions('b-value'), false);
    await first.setLevel('NONE');
    await first.close();

    const second = await open(log);
    expect([second.subjects(false), second.subjects(true)]).toEqual([['a-value'], ['a-value', 'b-value']]);
    expect([second.level('a-value'), second.level('b-value'), second.level()]).toEqual([
      'FULL_TRANSITIVE',
      'BACKWARD',
      'NONE',
    ]);
    expect(await second.register('a-value', schemaOf('x'), 'FULL_TRANSITIVE')).toBe(id);
    const next = await second.add('a-value', schemaOf('x', 'z'));
    expect([next.version, next.id]).toEqual([2, id + 2]);
    await second.close();
  });

  test('registrations at the same time get one number for one schema, and different ones for different schemas', async () => {
    const log = memoryLog();
    logs.push(log);
    const registry = await open(log);
    const ids = await Promise.all(
      ['x', 'y', 'x', 'y', 'x'].map((field, index) =>
        registry.register(`s${String(index)}-value`, schemaOf(field), 'FULL'),
      ),
    );
    expect(new Set(ids).size).toBe(2);
    expect([ids[0], ids[1]]).toEqual([ids[2], ids[3]]);
    await registry.close();
  });

  test('what the log did not take did not happen, and is taken when it does again', async () => {
    const log = memoryLog();
    logs.push(log);
    let isBroken = false;
    const beforeSend = (): void => {
      if (isBroken) throw new StreamError('LOG_UNAVAILABLE', 'not now');
    };
    const registry = await open(faultyLog(log, { beforeSend }));
    await registry.setLevel('FULL', 'a-value');
    isBroken = true;
    await expect(registry.add('a-value', schemaOf('x'))).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
    expect(registry.subjects(true)).toEqual([]);
    isBroken = false;
    expect(await registry.add('a-value', schemaOf('x'))).toMatchObject({ version: 1, id: 1 });
    await registry.close();
  });

  test('a refusal says which version cannot be read, by whom, and why', async () => {
    const log = memoryLog();
    logs.push(log);
    const registry = await open(log);
    await registry.register('a-value', schemaOf('x'), 'FULL');
    const incompatible = JSON.stringify({ type: 'record', name: 'Thing', fields: [{ name: 'n', type: 'int' }] });
    const refused = registry.add('a-value', incompatible);
    await expect(refused).rejects.toThrow(/the new schema cannot read version 1: no matching field/);
    await registry.close();
  });

  test('only administrators change it', async () => {
    const log = memoryLog();
    logs.push(log);
    const registry = await open(log);
    const [apiToken, adminToken] = ['reader-token-0123456', 'admin-token-01234567'];
    const api = apiOf([], { routes: [registryRoutes(registry)], apiToken, adminToken });
    const url = `${registryPath}/subjects/a-value/versions`;
    const headers = { authorization: `Bearer ${apiToken}` };
    const payload = { schema: schemaOf('x') };
    expect((await api.inject({ method: 'POST', url, headers, payload })).statusCode).toBe(403);
    expect((await api.inject({ url: `${registryPath}/subjects` })).statusCode).toBe(401);
    const admin = { authorization: `Bearer ${adminToken}` };
    expect((await api.inject({ method: 'POST', url, headers: admin, payload })).json()).toEqual({ id: 1 });
    expect((await api.inject({ url, headers })).json()).toEqual([1]);
    await api.close();
    await registry.close();
  });
});
