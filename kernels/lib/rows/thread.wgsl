// How the 64 threads of a workgroup share rows: each has a row of its own. Serves software adapters, and is the reference of its siblings.
// `row_add` and `row_max` combine what the LANES threads of a row hold; all of them must call.
const LANES: u32 = 1u;

fn row_add(value: f32, thread: u32) -> f32 { return value; }

fn row_max(value: f32, thread: u32) -> f32 { return value; }

fn row_max_word(value: u32, thread: u32) -> u32 { return value; }
