//! A network namespace with one TUN device: a machine of its own, as far as its network goes.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, anyhow};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use tun::Device;

/// The largest packet.
const PACKET: u16 = 1500;

/// What the chore needs.
const NEEDS: &str = "the chore needs root: it makes network namespaces and TUN devices of its own \
                     (CAP_SYS_ADMIN, CAP_NET_ADMIN, /dev/net/tun)";

type Job = Box<dyn FnOnce() + Send>;

/// A namespace, which lasts as long as its thread and the processes that were started there.
#[derive(Debug)]
pub(crate) struct Place {
    jobs: Sender<Job>,
}

impl Place {
    /// A namespace whose only address is `own`; packets for `other` come out of the device.
    pub(crate) fn new(own: Ipv4Addr, other: Ipv4Addr) -> anyhow::Result<(Self, Arc<Device>)> {
        let (jobs, received) = channel::<Job>();
        let (made, device) = channel();
        thread::Builder::new().name(String::from("place")).spawn(move || {
            // Only this thread and its children are in the namespace from now on.
            let _ = made.send(enter(own, other));
            received.into_iter().for_each(|job| job());
        })?;
        let device =
            device.recv().map_err(|_| anyhow!("the thread of a namespace has ended"))??;
        Ok((Self { jobs }, Arc::new(device)))
    }

    /// Runs something in the namespace, such as the start of a process.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (sender, result) = channel();
        let job: Job = Box::new(move || {
            let _ = sender.send(job());
        });
        self.jobs.send(job).map_err(|_| anyhow!("the thread of a namespace has ended"))?;
        result.recv().map_err(|_| anyhow!("a job in a namespace panicked"))?
    }
}

fn enter(own: Ipv4Addr, other: Ipv4Addr) -> anyhow::Result<Device> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Err(Errno::EPERM) => return Err(anyhow!("{NEEDS}")),
        result => result.context("could not make a network namespace")?,
    }
    // Nothing but the packets of the runs shall cross the line.
    let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    // The programs that choose nothing get the usual algorithm, or at least one of its kind.
    let usual = ["cubic", "reno"];
    let _ = usual.iter().find(|name| fs::write(DEFAULT, name).is_ok());
    let mut config = tun::Configuration::default();
    let netmask = Ipv4Addr::new(255, 255, 255, 0);
    config.address(own).destination(other).netmask(netmask).mtu(PACKET).up();
    tun::create(&config).context(NEEDS)
}

const DEFAULT: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// The algorithm of programs in this namespace that choose none; to be asked there.
pub(crate) fn usual() -> anyhow::Result<String> {
    Ok(fs::read_to_string(DEFAULT)?.trim().to_owned())
}
