//! The limits of an account over all of its connections: how many there may be ([`super::seats`] counts them), and how many
//! bytes a second they may send.
//!
//! Time is that of the server's clock, which no setting of the machine's clock changes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::accounts::{Account, AccountName};
use crate::locks::{Mutex, Rank};

/// Bytes that a connection reads at once at least, if so many may come in a second: fewer are hardly worth a system call.
const LEAST: u64 = 16 * 1024;

/// Milliseconds after which a connection that waits asks again at the latest.
const PAUSE: u64 = 100;

/// Milliseconds for which connections that have waited are counted: all of them have asked again by then.
const PERIOD: u64 = 4 * PAUSE;

/// The budgets of all accounts. A budget outlives the connections of its account: whoever connects again finds no more than
/// others have left.
#[derive(Debug)]
pub(crate) struct Budgets(Mutex<HashMap<AccountName, Arc<Budget>>>);

/// The limits that the connections of one account share.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The most connections at once.
    connections: Option<u32>,
    /// The most bytes a second.
    rate: Option<u64>,
    /// Bytes that may be read now; fewer than none after more has come than was asked for.
    tokens: i64,
    /// The moment up to which tokens were given.
    given: u64,
    /// Connections that have waited for tokens in this period, and in the one before.
    waiting: u64,
    have_waited: u64,
    period: u64,
}

/// One connection's part in the rate of its account.
#[derive(Debug)]
pub(crate) struct Meter {
    budget: Arc<Budget>,
    /// The last period in which it waited.
    period: Option<u64>,
    /// It has had its share: until then others that wait have theirs.
    pauses_until: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self(Mutex::new(Rank::Budgets, HashMap::new()))
    }
}

impl Budgets {
    /// The budget of an account. The account is as it was when its client logged in, which may have been before the last call of
    /// [`limit`](Self::limit): its limits count only if that call did not know the account.
    pub(crate) fn of(&self, account: &Account, now: u64) -> Arc<Budget> {
        let mut budgets = self.0.lock();
        let begin = || Arc::new(Budget::begin(account, now));
        Arc::clone(budgets.entry(account.name.clone()).or_insert_with(begin))
    }

    /// These accounts hold from now on: connections that are there go on, under the new limits.
    pub(crate) fn limit<'a>(&self, accounts: impl Iterator<Item = &'a Account>, now: u64) {
        let known: HashMap<_, _> = accounts.map(|account| (&account.name, account)).collect();
        let mut budgets = self.0.lock();
        budgets.retain(|name, _| known.contains_key(name));
        for (name, account) in known {
            match budgets.get(name) {
                Some(budget) => budget.limit(account, now),
                None => drop(budgets.insert(name.clone(), Arc::new(Budget::begin(account, now)))),
            }
        }
    }
}

impl Budget {
    fn begin(account: &Account, now: u64) -> Self {
        let budget = Self(Mutex::new(Rank::Budget, State::default()));
        budget.limit(account, now);
        budget
    }

    fn limit(&self, account: &Account, now: u64) {
        let mut state = self.0.lock();
        state.connections = account.connections;
        // A rate of nothing would keep a connection for ever.
        let rate = account.rate.map(|rate| rate.max(1));
        if state.rate != rate {
            state.rate = rate;
            state.tokens = rate.map_or(0, to_signed);
            state.given = now;
        }
    }

    /// The most connections at once; `None`: any number.
    pub(crate) fn connections(&self) -> Option<u32> {
        self.0.lock().connections
    }
}

impl State {
    /// Gives the tokens of the time that has passed: never more than those of one second together.
    fn give(&mut self, rate: u64, now: u64) {
        let passed = now.saturating_sub(self.given);
        let more = u128::from(rate) * u128::from(passed) / 1000;
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(to_signed(more)).min(to_signed(rate));
        // Only so much time as these tokens took: the rest of a millisecond counts later.
        let took = u128::from(more) * 1000 / u128::from(rate);
        self.given = self.given.saturating_add(u64::try_from(took).unwrap_or(u64::MAX)).min(now);
        if to_signed(rate) == self.tokens {
            self.given = now;
        }
    }

    /// The connections that want more than there is.
    fn contenders(&mut self, now: u64) -> u64 {
        let period = now / PERIOD;
        if period != self.period {
            let was_last = self.period + 1 == period;
            self.have_waited = if was_last { self.waiting } else { 0 };
            (self.waiting, self.period) = (0, period);
        }
        self.waiting.max(self.have_waited).max(1)
    }

    /// The moment at which there are so many tokens, if nothing is read until then.
    fn full(&self, tokens: i64, rate: u64) -> u64 {
        let missing = u128::from(tokens.abs_diff(self.tokens)) * 1000;
        let wait = u64::try_from(missing.div_ceil(u128::from(rate))).unwrap_or(u64::MAX);
        self.given.saturating_add(wait)
    }

    /// A connection waits, which it did last in the period that it remembers.
    fn waits(&mut self, remembered: &mut Option<u64>) {
        if *remembered != Some(self.period) {
            *remembered = Some(self.period);
            self.waiting += 1;
        }
    }
}

fn to_signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Meter {
    /// Of one more connection.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, period: None, pauses_until: 0 }
    }

    /// The bytes that the connection may read now (`None`: as many as it likes), or else the moment at which to ask again.
    /// Connections that want more than there is have as much each: after its share a connection waits until the others can
    /// have had theirs.
    pub(crate) fn may_read(&mut self, now: u64) -> Result<Option<usize>, u64> {
        let mut state = self.budget.0.lock();
        let Some(rate) = state.rate else { return Ok(None) };
        state.give(rate, now);
        let contenders = state.contenders(now);
        let least = LEAST.min(rate);
        let is_empty = state.tokens < to_signed(least);
        if is_empty || (contenders > 1 && now < self.pauses_until) {
            state.waits(&mut self.period);
            let full = if is_empty { state.full(to_signed(least), rate) } else { u64::MAX };
            return Err(full.clamp(now + 1, now + PAUSE));
        }
        let mut share = u64::try_from(state.tokens).unwrap_or(0);
        if contenders > 1 {
            share = share.min((rate / (1000 / PAUSE) / contenders).max(least));
            let round = u128::from(share) * u128::from(contenders) * 1000 / u128::from(rate);
            let round = u64::try_from(round).unwrap_or(u64::MAX).max(PAUSE);
            self.pauses_until = now.saturating_add(round);
        }
        Ok(Some(usize::try_from(share).unwrap_or(usize::MAX)))
    }

    /// Whether the account has read no more than it may by now; or else the moment at which to ask again.
    pub(crate) fn is_out_of_debt(&mut self, now: u64) -> Result<(), u64> {
        let mut state = self.budget.0.lock();
        let Some(rate) = state.rate else { return Ok(()) };
        state.give(rate, now);
        if state.tokens >= 0 {
            return Ok(());
        }
        state.contenders(now);
        state.waits(&mut self.period);
        Err(state.full(0, rate).clamp(now + 1, now + PAUSE))
    }

    /// So many bytes were read. Returns whether they were more than the account may send for the moment.
    pub(crate) fn has_read(&self, bytes: usize) -> bool {
        let mut state = self.budget.0.lock();
        if state.rate.is_some() {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            state.tokens = state.tokens.saturating_sub(bytes);
        }
        state.rate.is_some() && state.tokens < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::file::parse;

    fn account(limits: &str) -> Account {
        let text = format!("[user.alice]\nrights = [\"put\"]\n{limits}\n");
        parse(&text).unwrap().remove(0)
    }

    fn meter(budgets: &Budgets, account: &Account) -> Meter {
        Meter::new(budgets.of(account, 0))
    }

    /// The client of an account may have logged in just before the account was changed.
    #[test]
    fn limits_of_an_older_account_do_not_replace_the_present_ones() {
        let (budgets, now) = (Budgets::default(), 0);
        let (old, new) = (account("rate = 1000\nconnections = 9"), account("connections = 2"));
        budgets.limit(std::iter::once(&old), now);
        let mut meter = meter(&budgets, &old);
        budgets.limit(std::iter::once(&new), now);
        let budget = budgets.of(&old, now);
        assert_eq!((budget.connections(), meter.may_read(now)), (Some(2), Ok(None)));
        // Also if no client had logged in before the change.
        let budgets = Budgets::default();
        budgets.limit(std::iter::once(&new), now);
        assert_eq!(budgets.of(&old, now).connections(), Some(2));
    }

    /// However often it reconnects, and whatever its connections ask for.
    #[test]
    fn account_reads_no_more_than_its_rate_and_one_second_of_it() {
        let (budgets, limited) = (Budgets::default(), account("rate = 100000"));
        let mut read = 0;
        for now in (0..10_000).step_by(7) {
            let mut meter = meter(&budgets, &limited);
            while let Ok(most) = meter.may_read(now) {
                let most = most.unwrap().min(256 * 1024);
                meter.has_read(most);
                read += most;
            }
        }
        assert!((1_050_000..=1_100_000).contains(&read), "{read}");
    }

    /// Also if one of them is always the first to ask.
    #[test]
    fn connections_that_wait_have_equal_shares() {
        let (budgets, limited) = (Budgets::default(), account("rate = 1000000"));
        let mut meters: Vec<_> = (0..4).map(|_| meter(&budgets, &limited)).collect();
        let mut read = [0; 4];
        for now in (0..20_000).step_by(100) {
            for (meter, read) in meters.iter_mut().zip(&mut read) {
                while let Ok(most) = meter.may_read(now) {
                    let most = most.unwrap().min(256 * 1024);
                    meter.has_read(most);
                    *read += most;
                }
            }
        }
        let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
        assert!(*most <= *least + 1_000_000, "{read:?}");
        assert!((19_000_000..22_000_000).contains(&read.iter().sum::<usize>()), "{read:?}");
    }

    #[test]
    fn slow_rate_gives_a_byte_now_and_then_and_none_is_no_limit() {
        let budgets = Budgets::default();
        let mut slow = meter(&budgets, &account("rate = 3"));
        assert_eq!(slow.may_read(0), Ok(Some(3)));
        slow.has_read(3);
        assert_eq!(slow.may_read(333), Err(433));
        assert_eq!(slow.may_read(1000), Ok(Some(3)));
        slow.has_read(9);
        assert_eq!(slow.may_read(3990), Err(4000));
        budgets.limit(std::iter::once(&account("")), 1002);
        assert_eq!(slow.may_read(1002), Ok(None));
    }
}
