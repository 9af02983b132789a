//! What slows a guesser down: failed sign-ins counted by client address.
//!
//! In memory and bounded: forgetting at a restart is harmless, since accounts lock themselves in
//! the store besides. When the table is full, the entry that is over soonest makes room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Failures by one client within [`WINDOW`] until it is sent away [P].
pub const FAILURES_MAX: u32 = 10;
/// How long a client's failures count [P].
pub const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Clients that are counted at a time.
const CLIENTS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    /// Monotonic time at which it is forgotten.
    over_at: Duration,
}

/// Counts failures by client.
#[derive(Debug, Default)]
pub struct Throttle {
    clients: Mutex<HashMap<IpAddr, Count>>,
}

impl Throttle {
    /// Returns how long `client` must wait before it may try again; none when it may now.
    pub fn wait(&self, client: IpAddr, now: Duration) -> Option<Duration> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.get(&network(client))?;
        (count.failures >= FAILURES_MAX && now < count.over_at).then(|| count.over_at - now)
    }

    /// Counts a failure.
    pub fn failed(&self, client: IpAddr, now: Duration) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = network(client);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, count| now < count.over_at);
            let soonest = clients.iter().min_by_key(|(_, count)| count.over_at);
            if let (true, Some(soonest)) =
                (clients.len() >= CLIENTS_MAX, soonest.map(|(ip, _)| *ip))
            {
                clients.remove(&soonest);
            }
        }
        let fresh = Count {
            failures: 0,
            over_at: now + WINDOW,
        };
        let count = clients.entry(client).or_insert(fresh);
        if now >= count.over_at {
            *count = fresh;
        }
        count.failures = count.failures.saturating_add(1);
    }

    /// Forgets a client's failures: it has signed in.
    pub fn succeeded(&self, client: IpAddr) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.remove(&network(client));
    }
}

/// Returns the address, or for IPv6 its network of 64 bits, all of which one client may use.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_that_fails_too_often_waits_and_no_other_does() {
        let throttle = Throttle::default();
        let (guesser, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let now = Duration::from_secs(100);
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.wait(guesser, now), None);
            throttle.failed(guesser, now);
        }
        assert_eq!(throttle.wait(guesser, now), Some(WINDOW));
        assert_eq!(throttle.wait(other, now), None);
        assert_eq!(throttle.wait(guesser, now + WINDOW), None);
        throttle.failed(guesser, now + WINDOW);
        assert_eq!(throttle.wait(guesser, now + WINDOW), None, "it counts anew");
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let throttle = Throttle::default();
        let now = Duration::ZERO;
        for number in 0..FAILURES_MAX {
            throttle.failed(client(&format!("2001:db8:0:1::{number:x}")), now);
        }
        assert!(throttle.wait(client("2001:db8:0:1:ffff::1"), now).is_some());
        assert!(throttle.wait(client("2001:db8:0:2::1"), now).is_none());
        throttle.succeeded(client("2001:db8:0:1::9"));
        assert!(throttle.wait(client("2001:db8:0:1::9"), now).is_none());
    }

    #[test]
    fn the_table_stays_bounded() {
        let throttle = Throttle::default();
        for number in 0..u32::try_from(CLIENTS_MAX).expect("fits") + 50 {
            throttle.failed(
                IpAddr::V4(number.into()),
                Duration::from_millis(u64::from(number)),
            );
        }
        let held = throttle.clients.lock().expect("not poisoned").len();
        assert_eq!(held, CLIENTS_MAX);
    }
}
