/**
 * Node module hooks: a module imported with `?mutant=name` has the edits of that mutant, and so has everything it imports. Each mutant is a graph of modules
 * of its own, so that many can be tried in one process, and no source file knows of them.
 */
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from '@swc/core';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** By name: the edits, each `{ file, find, replace }`. */
let mutants = {};
/** By file: as it is without edits. */
const stripped = new Map();

export function initialize(data) {
  mutants = data;
}

export async function resolve(specifier, context, nextResolve) {
  const resolved = await nextResolve(specifier, context);
  const mutant = context.parentURL === undefined ? null : new URL(context.parentURL).searchParams.get('mutant');
  const isOurs = resolved.url.startsWith('file:') && resolved.url.endsWith('.ts');
  return mutant === null || !isOurs ? resolved : { ...resolved, url: `${resolved.url}?mutant=${mutant}` };
}

export async function load(url, context, nextLoad) {
  const mutant = url.startsWith('file:') ? new URL(url).searchParams.get('mutant') : null;
  if (mutant === null) return nextLoad(url, context);
  const filename = fileURLToPath(url);
  const edits = mutants[mutant].filter(({ file }) => file === relative(root, filename));
  let code = edits.length === 0 ? stripped.get(filename) : undefined;
  if (code === undefined) {
    code = await strip(filename, edits);
    if (edits.length === 0) stripped.set(filename, code);
  }
  return { format: 'module', source: code, shortCircuit: true };
}

async function strip(filename, edits) {
  let source = await readFile(filename, 'utf8');
  for (const { file, find, replace } of edits) {
    if (source.split(find).length !== 2) throw new Error(`the mutant does not fit ${file} any more: ${find}`);
    source = source.replace(find, () => replace);
  }
  const { code } = await transform(source, {
    filename,
    swcrc: false,
    jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
    module: { type: 'es6' },
  });
  return code;
}
