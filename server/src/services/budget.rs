//! The limits of an account over all of its connections: how many there may be, and how many bytes a second they may send.
//!
//! Time is that of the server's clock, which no setting of the machine's clock changes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::accounts::{Account, AccountName, ClientId};
use crate::locks::{Mutex, Rank};

/// Bytes that a connection reads at once at least, if so many may come in a second: fewer are hardly worth a system call.
const LEAST: u64 = 16 * 1024;

/// Milliseconds after which a connection that waits asks again at the latest.
const PAUSE: u64 = 100;

/// Milliseconds for which connections that have waited are counted: all of them have asked again by then.
const PERIOD: u64 = 4 * PAUSE;

/// The budgets of all accounts that have logged in. A budget outlives the connections of its account: whoever connects again
/// finds no more than others have left.
#[derive(Debug)]
pub(crate) struct Budgets(Mutex<HashMap<AccountName, Arc<Budget>>>);

/// The limits that the connections of one account share.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The most connections at once.
    connections: Option<u32>,
    /// The connections of each client and slot: those that a newer one replaces are still there for a moment.
    places: HashMap<(ClientId, u64), usize>,
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

/// One connection of an account. Dropping it gives its place back.
#[derive(Debug)]
pub(crate) struct Seat {
    budget: Arc<Budget>,
    place: (ClientId, u64),
    /// The last period in which it waited.
    period: Option<u64>,
    /// It has had its share: until then others that wait have theirs.
    pauses_until: u64,
}

/// The account has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u32);

impl Default for Budgets {
    fn default() -> Self {
        Self(Mutex::new(Rank::Budgets, HashMap::new()))
    }
}

impl Budgets {
    /// A place for one more connection, at this slot of a client. A connection that takes the place of an older one is not
    /// counted twice.
    pub(crate) fn enter(
        &self,
        account: &Account,
        client: ClientId,
        slot: u64,
        now: u64,
    ) -> Result<Seat, Full> {
        let mut budgets = self.0.lock();
        let budget = budgets.entry(account.name.clone()).or_insert_with(|| Arc::new(Budget::new()));
        let budget = Arc::clone(budget);
        drop(budgets);
        budget.limit(account, now);
        let place = (client, slot);
        let mut state = budget.0.lock();
        if let Some(most) = state.connections
            && state.places.len() >= usize::try_from(most).unwrap_or(usize::MAX)
            && !state.places.contains_key(&place)
        {
            return Err(Full(most));
        }
        *state.places.entry(place.clone()).or_default() += 1;
        drop(state);
        Ok(Seat { budget, place, period: None, pauses_until: 0 })
    }

    /// Other accounts hold from now on: connections that are there keep their places, under the new limits.
    pub(crate) fn limit<'a>(&self, accounts: impl Iterator<Item = &'a Account>, now: u64) {
        let known: HashMap<_, _> = accounts.map(|account| (&account.name, account)).collect();
        let mut budgets = self.0.lock();
        budgets.retain(|name, _| known.contains_key(name));
        let all: Vec<_> = budgets.iter().map(|(name, of)| (name.clone(), Arc::clone(of))).collect();
        drop(budgets);
        for (name, budget) in all {
            if let Some(account) = known.get(&name) {
                budget.limit(account, now);
            }
        }
    }
}

impl Budget {
    fn new() -> Self {
        Self(Mutex::new(Rank::Budget, State::default()))
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

impl Seat {
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
            let missing = u128::from(to_signed(least).abs_diff(state.tokens)) * 1000;
            let wait = u64::try_from(missing.div_ceil(u128::from(rate))).unwrap_or(u64::MAX);
            let full = if is_empty { state.given.saturating_add(wait) } else { u64::MAX };
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

    /// So many bytes were read.
    pub(crate) fn has_read(&self, bytes: usize) {
        let mut state = self.budget.0.lock();
        if state.rate.is_some() {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            state.tokens = state.tokens.saturating_sub(bytes);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.budget.0.lock();
        if let Some(count) = state.places.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                state.places.remove(&self.place);
            }
        }
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

    fn seat(budgets: &Budgets, account: &Account, client: &str, slot: u64) -> Result<Seat, Full> {
        budgets.enter(account, ClientId::of("alice", client), slot, 0)
    }

    #[test]
    fn account_has_no_more_connections_than_it_may_but_for_those_that_are_replaced() {
        let (budgets, two) = (Budgets::default(), account("connections = 2"));
        let first = seat(&budgets, &two, "c", 0).unwrap();
        let other = seat(&budgets, &two, "d", 0).unwrap();
        assert_eq!(seat(&budgets, &two, "c", 1).unwrap_err(), Full(2));
        let newer = seat(&budgets, &two, "c", 0).unwrap();
        drop(first);
        assert_eq!(seat(&budgets, &two, "c", 1).unwrap_err(), Full(2));
        drop(newer);
        let third = seat(&budgets, &two, "c", 1).unwrap();
        budgets.limit(std::iter::once(&account("connections = 3")), 0);
        let fourth = seat(&budgets, &account("connections = 3"), "c", 2);
        assert!(fourth.is_ok());
        drop((other, third));
        assert!(seat(&budgets, &account(""), "e", 9).is_ok());
    }

    /// However often it reconnects, and whatever its connections ask for.
    #[test]
    fn account_reads_no_more_than_its_rate_and_one_second_of_it() {
        let (budgets, limited) = (Budgets::default(), account("rate = 100000"));
        let mut read = 0;
        for now in (0..10_000).step_by(7) {
            let mut seat = seat(&budgets, &limited, "c", now).unwrap();
            while let Ok(most) = seat.may_read(now) {
                let most = most.unwrap().min(256 * 1024);
                seat.has_read(most);
                read += most;
            }
        }
        assert!((1_050_000..=1_100_000).contains(&read), "{read}");
    }

    /// Also if one of them is always the first to ask.
    #[test]
    fn connections_that_wait_have_equal_shares() {
        let (budgets, limited) = (Budgets::default(), account("rate = 1000000"));
        let mut seats: Vec<_> =
            (0..4).map(|slot| seat(&budgets, &limited, "c", slot).unwrap()).collect();
        let mut read = [0; 4];
        for now in (0..20_000).step_by(100) {
            for (seat, read) in seats.iter_mut().zip(&mut read) {
                while let Ok(most) = seat.may_read(now) {
                    let most = most.unwrap().min(256 * 1024);
                    seat.has_read(most);
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
        let mut slow = seat(&budgets, &account("rate = 3"), "c", 0).unwrap();
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
