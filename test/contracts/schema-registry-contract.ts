/** What every registry with Confluent's interface does, ours and others. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../clock.ts';
import { confluentRegistry } from '../../connectors/registry/confluent-registry.ts';
import { compatibilityLevels, type SchemaRegistry } from '../../schemas/schema-registry.ts';

export interface RegistryUnderTest {
  readonly url: string;
  stop(): Promise<void>;
}

interface Field {
  readonly name: string;
  readonly type: unknown;
  readonly default?: unknown;
}

const schemaOf = (...fields: readonly Field[]): string =>
  JSON.stringify({ type: 'record', name: 'Thing', namespace: 'contract', fields });

const id: Field = { name: 'id', type: 'string' };
const note: Field = { name: 'note', type: ['null', 'string'], default: null };
const count: Field = { name: 'count', type: 'int' };

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export function schemaRegistryContract(name: string, start: () => Promise<RegistryUnderTest>): void {
  describe(`schema registry contract: ${name}`, () => {
    let running: RegistryUnderTest;
    let client: SchemaRegistry;
    let subjectCount = 0;

    beforeAll(async () => {
      running = await start();
      client = confluentRegistry({ url: running.url, clock: systemClock });
    }, 600_000);
    afterAll(async () => {
      await running.stop();
    });

    const newSubject = (): string => `contract-${String(++subjectCount)}-value`;

    async function ask(method: string, path: string, body?: object): Promise<Answer> {
      const response = await fetch(`${running.url}${path}`, {
        method,
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' }, body: JSON.stringify(body) }),
      });
      // Some answer a bad request in plain words.
      return { status: response.status, body: await response.json().catch(() => undefined) };
    }

    async function add(subject: string, schema: string): Promise<Answer> {
      return await ask('POST', `/subjects/${subject}/versions`, { schema });
    }

    async function idOf(subject: string, schema: string): Promise<number> {
      const { status, body } = await add(subject, schema);
      expect(status).toBe(200);
      return (body as { readonly id: number }).id;
    }

    test('a schema gets a number, the same again and under another subject, and is found by it', async () => {
      const [subject, other] = [newSubject(), newSubject()];
      const number = await idOf(subject, schemaOf(id));
      expect(await idOf(subject, schemaOf(id))).toBe(number);
      expect(await idOf(other, schemaOf(id))).toBe(number);

      const { status, body } = await ask('GET', `/schemas/ids/${String(number)}`);
      expect(status).toBe(200);
      expect(JSON.parse((body as { readonly schema: string }).schema)).toEqual(JSON.parse(schemaOf(id)));
    });

    test('versions of a subject count from 1 and are found by number, as latest and by their schema', async () => {
      const subject = newSubject();
      const first = await idOf(subject, schemaOf(id));
      const second = await idOf(subject, schemaOf(id, note));
      expect(second).not.toBe(first);

      expect(await ask('GET', `/subjects/${subject}/versions`)).toEqual({ status: 200, body: [1, 2] });
      expect(await ask('GET', `/subjects/${subject}/versions/1`)).toMatchObject({
        status: 200,
        body: { subject, version: 1, id: first },
      });
      expect(await ask('GET', `/subjects/${subject}/versions/latest`)).toMatchObject({
        body: { version: 2, id: second },
      });
      expect(await ask('POST', `/subjects/${subject}`, { schema: schemaOf(id) })).toMatchObject({
        status: 200,
        body: { subject, version: 1, id: first },
      });
      expect((await ask('GET', '/subjects')).body).toEqual(expect.arrayContaining([subject]));
    });

    test('an incompatible schema is refused with 409, and the subject stays as it was', async () => {
      const subject = newSubject();
      await idOf(subject, schemaOf(id));
      expect(await add(subject, schemaOf(id, count))).toMatchObject({ status: 409, body: { error_code: 409 } });
      expect(await ask('GET', `/subjects/${subject}/versions`)).toEqual({ status: 200, body: [1] });
    });

    const cases = [
      { level: 'BACKWARD', adding: false, removing: true },
      { level: 'FORWARD', adding: true, removing: false },
      { level: 'FULL', adding: false, removing: false },
    ];
    test.each(cases)('$level: a field without default may be added: $adding, removed: $removing', async (expected) => {
      for (const [change, from, to] of [
        [expected.adding, schemaOf(id), schemaOf(id, count)],
        [expected.removing, schemaOf(id, count), schemaOf(id)],
      ] as const) {
        const subject = newSubject();
        await idOf(subject, from);
        const level = { compatibility: expected.level };
        expect(await ask('PUT', `/config/${subject}`, level)).toEqual({ status: 200, body: level });
        expect((await add(subject, to)).status).toBe(change ? 200 : 409);
      }
    });

    // The type of `note` changes across a version that does not have it: only the one before the last objects.
    const detour = [schemaOf(id, note), schemaOf(id), schemaOf(id, { ...note, type: ['null', 'int'] })] as const;
    test.each(['BACKWARD', 'FORWARD', 'FULL'] as const)(
      '%s looks at the last version, transitively at all',
      async (level) => {
        for (const [compatibility, status] of [
          [level, 200],
          [`${level}_TRANSITIVE`, 409],
        ] as const) {
          const subject = newSubject();
          await idOf(subject, detour[0]);
          await ask('PUT', `/config/${subject}`, { compatibility });
          await idOf(subject, detour[1]);
          expect((await add(subject, detour[2])).status).toBe(status);
        }
      },
    );

    test('levels of subjects can be asked for, and nothing else is one', async () => {
      const subject = newSubject();
      await idOf(subject, schemaOf(id));
      for (const compatibility of compatibilityLevels) {
        await ask('PUT', `/config/${subject}`, { compatibility });
        expect((await ask('GET', `/config/${subject}`)).body).toEqual({ compatibilityLevel: compatibility });
      }
      expect((await ask('PUT', `/config/${subject}`, { compatibility: 'SOMETIMES' })).status).toBeGreaterThanOrEqual(
        400,
      );
    });

    test('whether a schema could follow can be asked without registering it', async () => {
      const subject = newSubject();
      await idOf(subject, schemaOf(id));
      const path = `/compatibility/subjects/${subject}/versions/latest`;
      expect(await ask('POST', path, { schema: schemaOf(id, note) })).toMatchObject({ body: { is_compatible: true } });
      expect(await ask('POST', path, { schema: schemaOf(id, count) })).toMatchObject({
        body: { is_compatible: false },
      });
      expect(await ask('GET', `/subjects/${subject}/versions`)).toEqual({ status: 200, body: [1] });
    });

    test('what is not there answers 404 with its code, what is no schema 422', async () => {
      const subject = newSubject();
      expect(await ask('GET', `/subjects/${subject}/versions`)).toMatchObject({
        status: 404,
        body: { error_code: 40401 },
      });
      await idOf(subject, schemaOf(id));
      expect(await ask('GET', `/subjects/${subject}/versions/7`)).toMatchObject({
        status: 404,
        body: { error_code: 40402 },
      });
      expect(await ask('GET', '/schemas/ids/987654')).toMatchObject({ status: 404, body: { error_code: 40403 } });
      expect(await add(subject, '{"type":"nonsense"}')).toMatchObject({ status: 422, body: { error_code: 42201 } });
    });

    test('a deleted subject is gone, its schemas stay readable by number', async () => {
      const subject = newSubject();
      const number = await idOf(subject, schemaOf(id, { name: subject.replaceAll('-', '_'), type: 'string' }));
      expect((await ask('DELETE', `/subjects/${subject}`)).body).toEqual([1]);
      expect((await ask('GET', `/subjects/${subject}/versions`)).status).toBe(404);
      expect((await ask('GET', `/schemas/ids/${String(number)}`)).status).toBe(200);
      expect((await ask('DELETE', `/subjects/${subject}?permanent=true`)).status).toBe(200);
      expect((await ask('GET', '/subjects?deleted=true')).body).not.toEqual(expect.arrayContaining([subject]));
    });

    test('our client registers once per schema, reads by number, and tells refusals from unknown numbers', async () => {
      const subject = newSubject();
      const number = await client.register(subject, schemaOf(id), 'FULL_TRANSITIVE');
      expect(await client.register(subject, schemaOf(id), 'FULL_TRANSITIVE')).toBe(number);
      expect((await ask('GET', `/config/${subject}`)).body).toEqual({ compatibilityLevel: 'FULL_TRANSITIVE' });

      const reading = confluentRegistry({ url: running.url, clock: systemClock });
      const [text, again] = [await reading.schemaOf(number), await reading.schemaOf(number)];
      expect(JSON.parse(text ?? '')).toEqual(JSON.parse(schemaOf(id)));
      expect(again).toBe(text);
      expect(await reading.schemaOf(987_654)).toBeUndefined();
      await expect(client.register(subject, schemaOf(id, count), 'FULL_TRANSITIVE')).rejects.toMatchObject({
        code: 'SCHEMA_REFUSED',
      });
    });
  });
}
