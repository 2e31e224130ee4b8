// Loaded before the program that a supervisor (launch.mjs) has started.
//
// Standard error reaches the terminal through the supervisor's filter, so the stream itself is a pipe. Programs that draw on a terminal, a
// progress bar for instance, are told that one is at its other end, and how wide it is.
const columns = Number(process.env.REASONGEN_TERMINAL);
if (columns > 0 && !process.stderr.isTTY) Object.assign(process.stderr, { isTTY: true, columns });

// The channel only tells that the supervisor is there: it keeps nobody waiting.
process.channel?.unref();

// Node has forgotten what `nohup` asked for.
if (process.env.REASONGEN_NOHUP === '1') process.on('SIGHUP', () => {});
