/** The functions of Open MPI's library that ranks need, called by koffi. Handles are addresses of the library's own objects. */
import type * as Koffi from 'koffi';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { exitCodes, findPackage, namedMpiLibrary, oneLine, reasonOf, ReasongenError } from '../../core/plugin.ts';
import { mpiPackages, openMpiHint } from './package.ts';

/** An address: of one of the library's objects, or of an array of ours. */
type Pointer = unknown;
type Numbers = [number];

/** Each returns 0, or what went wrong. By default the library ends the job itself where a call fails. */
export interface OpenMpi {
  readonly world: Pointer;
  readonly bytes: Pointer;
  readonly floats: Pointer;
  initThread(argc: null, argv: null, wanted: number, provided: Numbers): number;
  finalize(): number;
  rank(communicator: Pointer, rank: Numbers): number;
  size(communicator: Pointer, size: Numbers): number;
  duplicate(communicator: Pointer, made: BigUint64Array): number;
  /** Begins a barrier: `request` tells when everyone has come. */
  barrier(communicator: Pointer, request: BigUint64Array): number;
  test(request: BigUint64Array, flag: Numbers, status: null): number;
  probe(source: number, tag: number, communicator: Pointer, flag: Numbers, status: null): number;
  send(
    values: Uint8Array,
    count: number,
    type: Pointer,
    to: number,
    tag: number,
    on: Pointer,
    request: BigUint64Array,
  ): number;
  receive(
    values: Uint8Array,
    count: number,
    type: Pointer,
    from: number,
    tag: number,
    on: Pointer,
    status: null,
  ): number;
  /** In a thread of its own: the event loop stays free. */
  allGather(
    ...values: [Uint8Array, number, Pointer, Uint8Array, Int32Array, Int32Array, Pointer, Pointer]
  ): Promise<void>;
  allToAll(
    ...values: [Float32Array, Int32Array, Int32Array, Pointer, Float32Array, Int32Array, Int32Array, Pointer, Pointer]
  ): Promise<void>;
}

/** Loads both. Throws MPI_MISSING with what to install where one cannot be had. */
export async function loadOpenMpi(name: string = namedMpiLibrary() ?? 'libmpi.so.40'): Promise<OpenMpi> {
  const koffi = await loadKoffi();
  let library: Koffi.LibraryHandle;
  try {
    // Global: the library loads parts of itself that look for its symbols.
    library = koffi.load(name, { global: true, lazy: true });
  } catch (cause) {
    throw missing(`Open MPI's library ${name} cannot be loaded: ${oneLine(reasonOf(cause), 300)}`, openMpiHint, cause);
  }
  try {
    return functionsOf(library);
  } catch (cause) {
    // MPICH has a library of this name, too, whose handles are numbers.
    throw missing(`${name} is no library of Open MPI: ${oneLine(reasonOf(cause), 300)}`, openMpiHint, cause);
  }
}

async function loadKoffi(): Promise<typeof Koffi> {
  const found = findPackage('koffi', [fileURLToPath(import.meta.url)]);
  const install = mpiPackages[0]?.install ?? '';
  if (found === undefined)
    throw missing('the package koffi, which the communicator mpi needs, is not installed', install);
  try {
    const loaded = (await import(pathToFileURL(found.file).href)) as typeof Koffi & { readonly default?: typeof Koffi };
    return loaded.default ?? loaded;
  } catch (cause) {
    throw missing(`the package koffi cannot be loaded: ${oneLine(reasonOf(cause), 300)}`, install, cause);
  }
}

function functionsOf(library: Koffi.LibraryHandle): OpenMpi {
  const symbol = (name: string): Pointer => library.symbol(name, 'char') as Pointer;
  const sync = (declaration: string): never => library.func(declaration) as never;
  const later =
    (declaration: string): ((...values: never[]) => Promise<void>) =>
    (...values) =>
      new Promise((resolve, reject) => {
        const done = (error: unknown, code: number): void => {
          if (error === null && code === 0) resolve();
          else reject(error instanceof Error ? error : new Error(`${declaration}: ${code}`));
        };
        functions(declaration).async(...values, done);
      });
  const made = new Map<string, Koffi.KoffiFunc<(...values: never[]) => number>>();
  const functions = (declaration: string): Koffi.KoffiFunc<(...values: never[]) => number> => {
    const known = made.get(declaration) ?? library.func(declaration);
    made.set(declaration, known);
    return known;
  };
  return {
    world: symbol('ompi_mpi_comm_world'),
    bytes: symbol('ompi_mpi_byte'),
    floats: symbol('ompi_mpi_float'),
    initThread: sync('int MPI_Init_thread(void*, void*, int, _Out_ int*)'),
    finalize: sync('int MPI_Finalize()'),
    rank: sync('int MPI_Comm_rank(void*, _Out_ int*)'),
    size: sync('int MPI_Comm_size(void*, _Out_ int*)'),
    duplicate: sync('int MPI_Comm_dup(void*, void*)'),
    barrier: sync('int MPI_Ibarrier(void*, void*)'),
    test: sync('int MPI_Test(void*, _Out_ int*, void*)'),
    probe: sync('int MPI_Iprobe(int, int, void*, _Out_ int*, void*)'),
    send: sync('int MPI_Isend(void*, int, void*, int, int, void*, void*)'),
    receive: sync('int MPI_Recv(void*, int, void*, int, int, void*, void*)'),
    allGather: later('int MPI_Allgatherv(void*, int, void*, void*, void*, void*, void*, void*)'),
    allToAll: later('int MPI_Alltoallv(void*, void*, void*, void*, void*, void*, void*, void*, void*)'),
  };
}

function missing(message: string, hint: string, cause?: unknown): ReasongenError {
  return new ReasongenError({ code: 'MPI_MISSING', message, hint, exitCode: exitCodes.badPreset, cause });
}
