//! Meters: what connections, users and addresses have used of their limits.
//!
//! Owns the counting, and for how long the count of a user or an address is remembered: as long as somebody is connected, and
//! then until its windows are over. What has a limit is looked up when a connection begins, and costs a lock of its own for a
//! message; without limits there is no meter at all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomcast_protocol::UserId;
use tokio::time::Instant;

use super::{Kind, Limits, Raised, Scope};
use crate::address::limit_key;
use crate::rate_limit::FixedWindow;

/// So many users or addresses are looked through for some to forget, again and again. When more than these are remembered though
/// nobody of them is connected, all of them are forgotten: that costs a limit some of its strictness, and nobody the service.
const MOST_REMEMBERED: usize = 50_000;

/// Something was over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// Whose limit.
    pub scope: Scope,
    /// Of what.
    pub kind: Kind,
    /// Until there is something left again.
    pub retry_after: Duration,
}

/// What one connection, user or address has used.
#[derive(Debug, Default)]
struct Meter(Mutex<[FixedWindow; Kind::ALL.len()]>);

/// On whose accounts something goes. Each is there only if it has a limit.
#[derive(Debug, Default)]
pub(crate) struct Accounts([Option<Arc<Meter>>; Scope::ALL.len()]);

/// The meters of one node.
#[derive(Debug)]
pub(crate) struct Meters {
    limits: Limits,
    users: Shelf<UserId>,
    addresses: Shelf<IpAddr>,
}

/// Meters by whom they are of.
#[derive(Debug)]
struct Shelf<K>(Mutex<Meterings<K>>);

#[derive(Debug)]
struct Meterings<K> {
    by_key: HashMap<K, Arc<Meter>>,
    /// When there are so many, some are looked for that can go.
    sweep_at: usize,
}

impl Meters {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, users: Shelf::default(), addresses: Shelf::default() }
    }

    /// Whether there is anything to count.
    pub(crate) fn is_idle(&self) -> bool {
        self.limits.is_empty()
    }

    /// The accounts of a new connection from the address, whose user is not known yet.
    pub(crate) fn of_connection(&self, address: IpAddr) -> Accounts {
        let own = self.limits.has(Scope::Connection).then(Arc::default);
        Accounts([own, None, self.of_address(address)])
    }

    /// The accounts of a call of the user.
    pub(crate) fn of_call(&self, user: &UserId, address: IpAddr) -> Accounts {
        Accounts([None, self.of_user(user), self.of_address(address)])
    }

    /// The connection has said who it is.
    pub(crate) fn identify(&self, accounts: &mut Accounts, user: &UserId) {
        accounts.0[Scope::User as usize] = self.of_user(user);
    }

    /// Puts it all on all accounts, or nothing on any. One that has anything left takes the whole, so that nothing is too large
    /// for an empty window.
    ///
    /// # Errors
    /// [`Exceeded`] with the limit that takes longest, when nothing is left on an account.
    pub(crate) fn charge(&self, accounts: &Accounts, raised: &Raised, costs: &[(Kind, usize)]) -> Result<(), Exceeded> {
        if accounts.0.iter().all(Option::is_none) {
            return Ok(());
        }
        let now = Instant::now();
        // Always in the order of the scopes, so that two that share accounts never wait for each other.
        let mut meters = accounts.0.each_ref().map(|meter| meter.as_ref().map(|meter| meter.lock()));
        let mut exceeded: Option<Exceeded> = None;
        for (scope, windows) in Scope::ALL.into_iter().zip(&meters) {
            let Some(windows) = windows else { continue };
            for (kind, rate) in costs.iter().filter_map(|(kind, _)| Some((*kind, self.limits.of(scope, *kind)?))) {
                let count = raised.over(rate.count, scope, kind);
                if let Some(retry_after) = windows[kind as usize].exceeded(count, rate.window, now)
                    && exceeded.is_none_or(|exceeded| exceeded.retry_after < retry_after)
                {
                    exceeded = Some(Exceeded { scope, kind, retry_after });
                }
            }
        }
        if let Some(exceeded) = exceeded {
            return Err(exceeded);
        }
        for (scope, windows) in Scope::ALL.into_iter().zip(&mut meters) {
            let Some(windows) = windows else { continue };
            for (kind, cost) in costs {
                if let Some(rate) = self.limits.of(scope, *kind) {
                    windows[*kind as usize].add(u32::try_from(*cost).unwrap_or(u32::MAX), rate.window, now);
                }
            }
        }
        Ok(())
    }

    /// Forgets whoever is not connected and has used nothing lately.
    pub(crate) fn sweep(&self) {
        self.users.sweep(|meter| self.is_used(meter, Scope::User));
        self.addresses.sweep(|meter| self.is_used(meter, Scope::Address));
    }

    fn of_user(&self, user: &UserId) -> Option<Arc<Meter>> {
        self.limits.has(Scope::User).then(|| self.users.meter(user, |meter| self.is_used(meter, Scope::User)))
    }

    fn of_address(&self, address: IpAddr) -> Option<Arc<Meter>> {
        let has_limit = self.limits.has(Scope::Address);
        has_limit.then(|| self.addresses.meter(&limit_key(address), |meter| self.is_used(meter, Scope::Address)))
    }

    /// Whether a window of the meter still runs.
    fn is_used(&self, meter: &Meter, scope: Scope) -> bool {
        let (now, windows) = (Instant::now(), meter.lock());
        let rates = Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.limits.of(scope, kind)?)));
        rates.into_iter().any(|(kind, rate)| !windows[kind as usize].is_over(rate.window, now))
    }
}

impl Meter {
    fn lock(&self) -> MutexGuard<'_, [FixedWindow; Kind::ALL.len()]> {
        // Counting cannot panic half-way, so a poisoned lock still guards a whole value.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self(Mutex::new(Meterings { by_key: HashMap::new(), sweep_at: MOST_REMEMBERED }))
    }
}

impl<K: Hash + Eq + Clone> Shelf<K> {
    fn meter(&self, key: &K, is_used: impl Fn(&Meter) -> bool) -> Arc<Meter> {
        let mut meters = self.lock();
        if let Some(meter) = meters.by_key.get(key) {
            return meter.clone();
        }
        if meters.by_key.len() >= meters.sweep_at {
            meters.sweep(is_used);
            let connected = meters.by_key.values().filter(|meter| is_held(meter)).count();
            if meters.by_key.len() - connected >= MOST_REMEMBERED {
                meters.by_key.retain(|_, meter| is_held(meter));
            }
            meters.sweep_at = meters.by_key.len() + MOST_REMEMBERED;
        }
        meters.by_key.entry(key.clone()).or_default().clone()
    }

    fn sweep(&self, is_used: impl Fn(&Meter) -> bool) {
        self.lock().sweep(is_used);
    }

    fn lock(&self) -> MutexGuard<'_, Meterings<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Meterings<K> {
    fn sweep(&mut self, is_used: impl Fn(&Meter) -> bool) {
        self.by_key.retain(|_, meter| is_held(meter) || is_used(meter));
        if self.by_key.is_empty() {
            self.by_key.shrink_to_fit();
        }
    }
}

/// Whether a connection or a call has it.
fn is_held(meter: &Arc<Meter>) -> bool {
    Arc::strong_count(meter) > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn meters(limits: &str) -> Meters {
        Meters::new(Limits::parse(limits, |_| Ok(MINUTE)).unwrap())
    }

    fn address(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(last).into()
    }

    fn over(scope: Scope, kind: Kind, seconds: u64) -> Result<(), Exceeded> {
        Err(Exceeded { scope, kind, retry_after: Duration::from_secs(seconds) })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_on_one_account_is_put_on_none() {
        let meters = meters("connection.publishes=1/m,user.publishes=2/m,user.messages=3/m");
        let anna: UserId = "anna".parse().unwrap();
        let mut accounts = [meters.of_connection(address(1)), meters.of_connection(address(1))];
        accounts.iter_mut().for_each(|accounts| meters.identify(accounts, &anna));
        let charge = |place: usize| {
            let costs = [(Kind::Messages, 1), (Kind::Publishes, 1)];
            meters.charge(&accounts[place], &Raised::default(), &costs)
        };
        assert_eq!(charge(0), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(charge(0), over(Scope::Connection, Kind::Publishes, 50));
        assert_eq!(charge(1), Ok(()), "the refused one has used nothing of the user's");
        // Both are over, and the connection's own is so for longer.
        assert_eq!(charge(1), over(Scope::Connection, Kind::Publishes, 60));
        tokio::time::advance(MINUTE).await;
        assert_eq!(charge(1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_has_anything_left_takes_the_whole() {
        let meters = meters("address.bytes=1000/m");
        let accounts = meters.of_connection(address(1));
        let charge = |bytes| meters.charge(&accounts, &Raised::default(), &[(Kind::Bytes, bytes)]);
        assert_eq!(charge(999), Ok(()));
        assert_eq!(charge(1 << 40), Ok(()));
        assert_eq!(charge(1), over(Scope::Address, Kind::Bytes, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_finds_what_was_used_and_is_forgotten_when_the_window_is_over() {
        let meters = meters("address.messages=1/m");
        let charge = || meters.charge(&meters.of_connection(address(1)), &Raised::default(), &[(Kind::Messages, 1)]);
        assert_eq!(charge(), Ok(()));
        meters.sweep();
        assert_eq!(charge(), over(Scope::Address, Kind::Messages, 60));
        tokio::time::advance(MINUTE).await;
        let connected = meters.of_connection(address(2));
        meters.sweep();
        assert_eq!(meters.addresses.lock().by_key.len(), 1);
        drop(connected);
        meters.sweep();
        assert_eq!(meters.addresses.lock().by_key.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_come_only_so_many_are_remembered() {
        let meters = meters("address.messages=1/m");
        let held = meters.of_connection(address(0));
        meters.charge(&held, &Raised::default(), &[(Kind::Messages, 1)]).unwrap();
        for last in 1..4 * MOST_REMEMBERED as u32 {
            let accounts = meters.of_connection(address(last));
            meters.charge(&accounts, &Raised::default(), &[(Kind::Messages, 1)]).unwrap();
            assert!(meters.addresses.lock().by_key.len() <= 2 * MOST_REMEMBERED + 1);
        }
        let again = meters.charge(&meters.of_connection(address(0)), &Raised::default(), &[(Kind::Messages, 1)]);
        assert_eq!(again, over(Scope::Address, Kind::Messages, 60), "who is connected is not forgotten");
    }
}
