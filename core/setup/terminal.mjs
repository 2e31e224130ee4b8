// Loaded before the program: standard error reaches the terminal through the supervisor's filter (launch.mjs), so the stream itself is a
// pipe. Programs that draw on a terminal, a progress bar for instance, are told that one is at its other end, and how wide it is.
const columns = Number(process.env.REASONGEN_TERMINAL);
if (columns > 0 && !process.stderr.isTTY) Object.assign(process.stderr, { isTTY: true, columns });
