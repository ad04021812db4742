/** Whether two types are the same, not only assignable: conditional types over a free parameter are compared by identity. */
type Equal<A, B> = Same<A> extends Same<B> ? true : false;

type Same<A> = <T>() => T extends A ? 1 : 2;

/** `exactly<string>()(x)` compiles only if the type of `x` is that one, neither wider nor narrower. */
export function exactly<E>(): <A>(value: A, ...proof: Equal<A, E> extends true ? [] : [never]) => void {
  return () => undefined;
}
