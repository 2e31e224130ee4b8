/**
 * A minute with an endpoint that is busy, broken, silent, or breaks off in a third of its answers: every picture is judged, with at most twice
 * the requests that are needed, none while it wishes to be left alone, and the same questions again cost none.
 * `node --import tsx test/soak/judge.ts [seconds] [seed]`
 */
import { judgeThroughFaults } from '../support/judge-through-faults.ts';

const [seconds = 60, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
const end = await judgeThroughFaults(seconds * 1000, 100, seed);
const isGood = end.asked <= 2 * end.scores && end.early === 0 && end.askedAgain === 0;
process.stdout.write(`${JSON.stringify({ ...end, seed, isGood })}\n`);
process.exit(isGood ? 0 : 1);
