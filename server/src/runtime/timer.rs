//! The timer: the one thread that minds time.

use std::sync::Arc;
use std::time::Duration;

use super::Runtime;

/// Time between two looks at all deadlines: a look is one atomic load a connection.
const TICK: Duration = Duration::from_millis(100);

/// Runs until the server has stopped: expires silent peers, lets listeners try again that ran out of
/// file descriptors, gives back memory that is free and room that idle uploads have, and ends the grace time.
pub(crate) fn run(runtime: &Arc<Runtime>) {
    runtime.pulses.timer.beat();
    while !runtime.finished() {
        std::thread::park_timeout(TICK);
        runtime.pulses.timer.beat();
        let now = runtime.services.now();
        runtime.expire(now, runtime.is_scarce());
        runtime.retry_listeners();
        runtime.clear_the_door();
        runtime.give_memory_back();
        runtime.services.uploads.give_room_back();
    }
    runtime.pulses.timer.rest();
}
