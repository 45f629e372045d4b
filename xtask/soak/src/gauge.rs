//! The memory of the server.

use anyhow::Context;
use haul_tests::hauld::Hauld;

/// The most that was resident since it was begun.
#[derive(Debug)]
pub(super) struct Gauge {
    sampled_kib: u64,
}

impl Gauge {
    /// Forgets the high-water mark so far.
    pub(super) fn begin(server: &Hauld) -> anyhow::Result<Self> {
        // "5" resets the high-water mark (proc(5)).
        std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5")
            .context("the high-water mark of the server's memory")?;
        Ok(Self { sampled_kib: 0 })
    }

    /// Samples the resident memory of now, and returns it.
    pub(super) fn sample(&mut self, server: &Hauld) -> anyhow::Result<u64> {
        let now = server.status("VmRSS")?;
        self.sampled_kib = self.sampled_kib.max(now);
        Ok(now)
    }

    /// The highest that was seen by looking, and the kernel's own high-water mark.
    pub(super) fn peaks(&self, server: &Hauld) -> anyhow::Result<(u64, u64)> {
        Ok((self.sampled_kib, server.status("VmHWM")?))
    }
}
