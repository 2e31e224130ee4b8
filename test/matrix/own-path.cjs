// Loaded before every program under `verify.mjs`. Node was started by a dynamic loader, which it takes for itself: what it starts as
// process.execPath must begin the same way, through the script that began it.
process.execPath = process.env.REASONGEN_MATRIX_NODE;
process.argv[0] = process.execPath;
