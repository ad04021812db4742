/** Declares the steps that split a stream. */
import * as stateless from '../processors/stateless.ts';
import type { UserFunction } from '../processors/user-function.ts';
import type { StreamState } from './handle-state.ts';

type Predicate = UserFunction<[value: unknown, key: unknown], boolean>;

export interface Branches {
  readonly branches: Readonly<Record<string, Predicate>>;
  /** Name of the branch of all others; `undefined`: they are dropped. */
  readonly rest: string | undefined;
}

/** The branches in their order, each with its step. Throws `TOPOLOGY_INVALID` for a name that has no place of its own. */
export function declareBranches(
  { declaration, node: parent, onError }: StreamState<unknown, unknown>,
  name: string,
  { branches, rest }: Branches,
): readonly { readonly branch: string; readonly node: string }[] {
  const wanted: { branch: string; node: string; predicate: Predicate | undefined }[] = [];
  for (const [branch, predicate] of Object.entries(branches)) {
    // An object lists such names first, whatever their place.
    if (/^\d+$/.test(branch)) throw declaration.refuse(name, `has a branch named ${branch}: a number loses its place`);
    wanted.push({ branch, node: `${name}-${branch}`, predicate });
  }
  if (rest !== undefined) wanted.push({ branch: rest, node: `${name}-${rest}`, predicate: undefined });
  const step = declaration.stepName('KSTREAM-BRANCH', name);
  const splitter = declaration.processor({
    name: step,
    what: 'branch',
    parents: [parent],
    create: stateless.branch(step, wanted),
    onError,
  });
  for (const { node } of wanted)
    declaration.processor({
      name: declaration.stepName('KSTREAM-BRANCHCHILD', node),
      what: 'a branch',
      parents: [splitter],
      create: stateless.passThrough(),
    });
  return wanted;
}
