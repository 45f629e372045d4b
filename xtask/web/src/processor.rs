//! The processor time of a running process.

use std::fs;

use anyhow::Context;

/// Seconds of a processor that all threads of the process have taken so far: the first figure of
/// `/proc/PID/task/TID/schedstat`, in nanoseconds (Linux, `Documentation/scheduler/sched-stats.rst`). Threads that have ended
/// are not in it, so the process must have none that end.
pub(crate) fn seconds(pid: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran = text.split(' ').next().context("schedstat is empty")?;
        nanoseconds += ran.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}
