//! Delivery: from committed alarms to the endpoints that must hear of them.
//!
//! ```text
//! pipeline ── Alarms::raise ──> store: alarm + event + deliveries, one transaction
//!                                  │ signal
//!                     Outbox: one worker an endpoint ── signed POST ──> receiver
//!                                  │
//!                               store: attempt, delivered | again at … | dead
//! ```
//!
//! What a receiver can rely on:
//! - At least once: an alarm is on the disk before anything is sent, and what is sent is only
//!   crossed off after a 2xx answer was read. A kill at any moment repeats messages, with the same
//!   `webhook-id`, and loses none.
//! - In order, per camera: of one camera's messages to one endpoint, the next is sent when the one
//!   before is delivered or dead. So a message that the receiver refuses holds back the later ones
//!   OF THAT CAMERA for up to 24 h, and no other camera's. Answer 2xx to what you do not want.
//! - Independently: an endpoint that is slow or down delays no other one.
//! - A redirect is a failure; 410 disables the endpoint and cancels what waits for it.
//!
//! While the disk takes nothing, alarms go out all the same: see [`emergency`].
//! Where endpoints are is the administrator's choice: addresses are not restricted.

pub mod emergency;
pub mod outbox;
pub mod overdue;
pub mod retry;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;

pub use emergency::{Alarms, Kept};
pub use outbox::Outbox;
pub use webhook::{Answer, Client, ClientError, Secret, Verdict};

use crate::alarm::AlarmKind;
use crate::clock::Clock;
use crate::id::{EndpointId, SiteId};
use crate::store::{Hears, Route, Shelved};

/// An endpoint of the configuration, checked.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    pub id: EndpointId,
    pub url: Url,
    /// One or more; each message carries a signature by each.
    pub secrets: Vec<Secret>,
    /// Wanted kinds; all where it is empty.
    pub kinds: Vec<AlarmKind>,
    /// Wanted sites; all where it is empty.
    pub sites: Vec<SiteId>,
    /// Alarms below this score are not wanted, 0..1.
    pub min_score: f64,
    pub hears: Hears,
    pub shelved: Shelved,
    /// Deadline of one attempt, from connecting to the last byte of the answer.
    pub timeout: Duration,
}

impl EndpointConfig {
    /// Returns what the store must know of it.
    pub fn route(&self) -> Route {
        let digest = Sha256::digest(self.url.as_str());
        Route {
            endpoint: self.id.clone(),
            url_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            kinds: self.kinds.clone(),
            sites: self.sites.clone(),
            min_score: self.min_score,
            hears: self.hears,
            shelved: self.shelved,
        }
    }
}

/// What all deliveries share.
#[derive(Clone, Debug)]
pub struct Delivering {
    pub endpoints: Arc<[EndpointConfig]>,
    pub client: Client,
    /// What links in messages begin with.
    pub public_url: Url,
    pub clock: Arc<dyn Clock>,
}

impl Delivering {
    /// Returns what the store must know of the endpoints.
    pub fn routes(&self) -> Vec<Route> {
        self.endpoints.iter().map(EndpointConfig::route).collect()
    }
}

/// Sends one signed `plumb.test` message, once. Returns what came of it in words; the error says
/// what is wrong.
pub async fn send_test(
    client: &Client,
    endpoint: &EndpointConfig,
    clock: &dyn Clock,
) -> Result<String, String> {
    let now = clock.now();
    let id = format!("msg_test_{}", now.as_microsecond());
    let answer = client.post(endpoint, &id, webhook::test_message(now)).await;
    let took = format!("in {} ms", answer.duration_ms);
    match (answer.verdict, answer.status) {
        (Verdict::Accepted, Some(status)) => Ok(format!("answered {status} {took}")),
        (Verdict::Accepted, None) => Ok(format!("accepted {took}")),
        (Verdict::Gone, _) => Err("answered 410: the receiver wants nothing from us".to_owned()),
        (Verdict::Failed { error, .. }, _) => Err(format!("{error} {took}")),
    }
}
