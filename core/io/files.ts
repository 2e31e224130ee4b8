/**
 * Everything by which the program changes files, in one place: under the names of `node:fs`, which they are unless a test wants
 * one of them to fail (`faults.ts`). What only reads may use `node:fs` itself.
 */
import * as nodeSync from 'node:fs';
import * as nodeFiles from 'node:fs/promises';
import { faults } from '../faults.ts';
import { FaultyFiles, makeReadsFaulty } from './faulty-files.ts';

const faulty = faults === undefined ? undefined : new FaultyFiles(faults);
if (faults !== undefined) makeReadsFaulty(faults);

export const files: typeof nodeFiles = faulty?.files ?? nodeFiles;
const filesSync: typeof nodeSync = faulty?.filesSync ?? nodeSync;

export const { appendFile, copyFile, link, mkdir, open, rename, rm, rmdir, symlink, writeFile } = files;
export const { appendFileSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } = filesSync;
