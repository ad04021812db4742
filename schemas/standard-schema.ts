/** Validators that follow the Standard Schema convention, as those of zod, valibot and arktype do: what the engine needs of it. */
import { StreamError } from '../errors.ts';

export interface StandardSchema<T> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
  };
}

export type StandardResult<T> =
  { readonly value: T; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Issues of one value that an error names. */
const issuesNamedMax = 5;

/** What the schema makes of a value; throws `DESERIALIZATION_FAILED` with the places that do not fit, never with what stands there. */
export function parserOf<T>(schema: StandardSchema<T>): (value: unknown) => T {
  return (value) => {
    const result = schema['~standard'].validate(value);
    if (result instanceof Promise) {
      // What it has to say is lost with it; a rejection must not end the process.
      result.catch(() => undefined);
      throw new StreamError('DESERIALIZATION_FAILED', 'a schema that validates asynchronously cannot be used here');
    }
    if (result.issues === undefined) return result.value;
    const paths = result.issues.slice(0, issuesNamedMax).map(pathOf);
    throw new StreamError('DESERIALIZATION_FAILED', `does not fit its schema at ${paths.join(', ')}`, {
      facts: { vendor: schema['~standard'].vendor, issues: result.issues.length, paths },
    });
  };
}

function pathOf({ path = [] }: StandardIssue): string {
  const keys = path.map((part) => String(typeof part === 'object' ? part.key : part));
  return keys.length === 0 ? 'the whole' : keys.join('.');
}
