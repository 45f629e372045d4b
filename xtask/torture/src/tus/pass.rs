//! One pass: several uploads, each with its clients, while all kinds of things happen to the server and the network; and then
//! a kill that each file must survive.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use haul_tests::alive;
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;
use rustix::process::Signal;

use super::{Bout, Counts, End, Pass, Sender, Upload, Way, What, Work, start};
use crate::Setting;
use crate::disturb::{Action, GRACE, Step};
use crate::weather::{Ground, Weather};

/// Time that the uploads may take when nothing disturbs them any more.
const CALM: Duration = Duration::from_secs(120);

/// The time between two looks of the eye.
const LOOK: Duration = Duration::from_millis(15);

type Sent = anyhow::Result<Counts>;

impl Bout<'_> {
    pub(super) fn pass(&mut self, plan: &Pass, number: u64, seed: u64) -> anyhow::Result<()> {
        let uploads = self.uploads(plan, number)?;
        let clients: u64 = plan.uploads.iter().map(|upload| upload.senders).sum();
        let (work, may_be_full) = (Work::of(usize::try_from(clients)?), self.disk.is_some());
        let address = self.relay.address().to_owned();
        let token = self.token.clone();
        let way = Way { address: &address, token: token.as_deref() };
        let mut pass = Disturbed {
            setting: self.setting,
            server: &mut self.server,
            weather: Weather::new(&self.relay, plan.pace),
            on: Ground { relay: &self.relay, disk: self.disk },
            uploads: &uploads,
            work: &work,
            token: token.as_deref(),
            random: Random::new(seed, number),
            counts: Counts::default(),
        };
        let result = std::thread::scope(|scope| {
            let eye = scope.spawn(|| look(&uploads, &work));
            let senders = send(scope, &uploads, way, &work, may_be_full);
            let result = pass.run(&plan.steps);
            work.end();
            for sender in senders {
                pass.counts += sender.join().ok().context("a client panicked")??;
            }
            pass.counts += eye.join().ok().context("the eye panicked")??;
            result
        });
        let survived = result.and_then(|()| pass.kill(Duration::ZERO));
        self.counts += pass.counts;
        survived?;
        self.counts.one(What::Passes);
        self.check(&uploads)
    }
}

/// Starts the clients of all uploads.
fn send<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    uploads: &'env [Upload],
    way: Way<'env>,
    work: &'env Work,
    may_be_full: bool,
) -> Vec<ScopedJoinHandle<'scope, Sent>> {
    let each = |upload: &'env Upload| (0..upload.plan.senders).map(move |number| (upload, number));
    let spawn = |(upload, number)| {
        scope.spawn(move || work.run(Sender::new(upload, way, number, may_be_full)))
    };
    uploads.iter().flat_map(each).map(spawn).collect()
}

/// Looks at the final names until the pass is over.
fn look(uploads: &[Upload], work: &Work) -> Sent {
    let mut counts = Counts::default();
    while !work.is_over() {
        for upload in uploads {
            if let Err(error) = upload.look() {
                work.fails();
                return Err(error).with_context(|| format!("{} was looked at", upload.name));
            }
            counts.one(What::Looks);
        }
        std::thread::sleep(LOOK);
    }
    Ok(counts)
}

/// A pass under way: all that happens to the server.
struct Disturbed<'p> {
    setting: &'p Setting<'p>,
    server: &'p mut Hauld,
    weather: Weather,
    on: Ground<'p>,
    uploads: &'p [Upload],
    work: &'p Work,
    token: Option<&'p str>,
    /// Chooses the connection of each step that is about one.
    random: Random,
    counts: Counts,
}

impl Disturbed<'_> {
    fn run(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            let (bytes, until) =
                (self.on.relay.passed() + step.bytes, Instant::now() + step.within);
            while self.is_under_way() && self.on.relay.passed() < bytes && Instant::now() < until {
                self.weather.tick(self.on)?;
                std::thread::sleep(Duration::from_millis(1));
            }
            if !self.is_under_way() {
                break;
            }
            self.act(step.action).with_context(|| format!("{:?}", step.action))?;
        }
        self.weather.heal(self.on)?;
        let until = Instant::now() + CALM;
        while self.is_under_way() {
            ensure!(Instant::now() < until, "no end after {CALM:?} in which nothing was disturbed");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn is_under_way(&self) -> bool {
        !self.work.is_done() && !self.work.has_failed()
    }

    fn act(&mut self, action: Action) -> anyhow::Result<()> {
        let pick = self.random.index(64);
        self.weather.tick(self.on)?;
        self.weather.act(self.on, action, pick)?;
        match action {
            Action::KillServer { down } => return self.kill(down),
            Action::StopServer => {
                alive::stop(self.server, GRACE)?;
                self.counts.one(What::ServerStops);
                return self.start();
            }
            Action::Fill { .. } => self.counts.one(What::FullDisks),
            Action::KillClient { .. } | Action::Interrupt => {}
            Action::Cut { .. }
            | Action::Truncate { .. }
            | Action::Stall { .. }
            | Action::Delay { .. } => self.counts.one(What::NetworkBreaks),
        }
        Ok(())
    }

    /// Kills the server, and starts it again after a while.
    fn kill(&mut self, down: Duration) -> anyhow::Result<()> {
        self.server.signal(Signal::KILL)?;
        self.server.wait()?;
        self.counts.one(What::ServerKills);
        self.look("while the server is dead")?;
        std::thread::sleep(down);
        self.start()
    }

    /// Each file that was acknowledged is there.
    fn look(&mut self, when: &str) -> anyhow::Result<()> {
        for upload in self.uploads {
            upload.look().with_context(|| format!("{}, {when}", upload.name))?;
            self.counts.add(What::Files, u64::from(upload.end() == End::Whole));
        }
        Ok(())
    }

    /// Starts the server again. A full disk may not let it.
    fn start(&mut self) -> anyhow::Result<()> {
        let root = self.server.root().to_owned();
        *self.server = match start(self.setting, &root) {
            Err(_) if self.weather.is_full() => {
                self.counts.one(What::StartsRefused);
                self.weather.free(self.on)?;
                start(self.setting, &root)?
            }
            result => result?,
        };
        // Before the clients find it.
        self.ask().context("when the server was started again")?;
        self.on.relay.lead_to(self.server.address());
        self.look("when the server was started again")
    }

    /// Asks about each upload at the server itself.
    fn ask(&mut self) -> anyhow::Result<()> {
        let way = Way { address: self.server.address(), token: self.token };
        let may_be_full = self.weather.is_full();
        for (number, upload) in (3..).zip(self.uploads) {
            let mut sender = Sender::new(upload, way, number, may_be_full);
            let is_known = sender.ask_once()?;
            self.counts += sender.counts;
            self.counts.add(What::OffsetsAfterStarts, u64::from(is_known));
        }
        Ok(())
    }
}
