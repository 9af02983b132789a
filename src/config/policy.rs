//! The rules of a configuration by name, for the audit log: what is kept for how long, who sees people,
//! who must show what, who is told. No secret and no address stands in them.

use std::fmt::Display;
use std::time::Duration;

use super::Config;
use crate::auth::Role;
use crate::deliver::EndpointConfig;
use crate::store::policy::Policy;
use crate::store::{Escalation, Hears, Shelved};

impl Config {
    /// Returns the rules, each by the key under which the file has it.
    pub fn policy(&self) -> Policy {
        let (http, kept, privacy) = (&self.http, &self.retention, &self.privacy);
        let budget = kept.evidence_budget_bytes;
        let mut policy = Policy::new();
        let mut rule = |name: &str, value: &dyn Display| {
            policy.insert(name.to_owned(), value.to_string());
        };
        rule("http.tls", &http.tls.is_some());
        let proxies = http.proxies.iter().map(|proxy| proxy.to_string());
        rule("http.proxies", &or_none(proxies.collect()));
        rule("http.session_idle_minutes", &minutes(http.sessions.idle));
        rule(
            "http.session_hours",
            &(minutes(http.sessions.lifetime) / 60),
        );
        rule("retention.evidence_days", &days(kept.evidence));
        rule(
            "retention.evidence_budget_mib",
            &budget.map_or("all".to_owned(), |bytes| mib(bytes).to_string()),
        );
        rule("retention.min_free_mib", &mib(kept.min_free_bytes));
        rule("retention.warn_percent", &(kept.warn_share * 100.0).round());
        rule("retention.full_percent", &(kept.full_share * 100.0).round());
        rule("retention.reserve_mib", &mib(kept.reserve_bytes));
        rule("retention.event_days", &days(kept.events));
        let footage = &self.footage;
        let keep = self.cameras.iter().filter(|camera| camera.footage);
        let keep = keep.map(|camera| camera.id.to_string()).collect();
        rule("footage.cameras", &or_none(keep));
        rule("footage.days", &days(footage.kept));
        rule(
            "footage.budget_mib",
            &footage
                .budget_bytes
                .map_or("all".to_owned(), |bytes| mib(bytes).to_string()),
        );
        rule("privacy.see_people", &roles(&privacy.see_people));
        rule("privacy.live_encodings", &privacy.live_encodings);
        let due = &self.auth.second_factor_roles;
        rule("auth.second_factor_roles", &roles(due));
        rule("replay.recordings", &self.recordings_dir.is_some());
        for endpoint in &self.endpoints {
            rule(&format!("endpoint.{}", endpoint.id), &heard(endpoint));
        }
        for step in &self.escalations {
            rule(&format!("escalation.{}", step.id), &taken(step));
        }
        policy
    }
}

/// Returns what an endpoint hears of.
fn heard(endpoint: &EndpointConfig) -> String {
    let hears = match endpoint.hears {
        Hears::Alarms => "alarms",
        Hears::Escalations => "escalations",
    };
    let shelved = match endpoint.shelved {
        Shelved::Held => "without shelved ones",
        Shelved::Sent => "with shelved ones",
    };
    let kinds: Vec<&str> = endpoint.kinds.iter().map(|kind| kind.as_str()).collect();
    format!(
        "{hears} {shelved}, kinds {}, sites {}, from score {}",
        list(&kinds),
        list(&endpoint.sites),
        endpoint.min_score
    )
}

/// Returns when a step is taken, and to whom.
fn taken(step: &Escalation) -> String {
    let kinds: Vec<&str> = step.kinds.iter().map(|kind| kind.as_str()).collect();
    format!(
        "after {} s to {}, kinds {}, sites {}",
        step.after.as_secs(),
        list(&step.endpoints),
        list(&kinds),
        list(&step.sites)
    )
}

fn roles(roles: &[Role]) -> String {
    or_none(roles.iter().map(|role| role.as_str().to_owned()).collect())
}

fn or_none(words: Vec<String>) -> String {
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(", "),
    }
}

/// Returns the things with commas; nothing named is all.
fn list<T: Display>(things: &[T]) -> String {
    let words: Vec<String> = things.iter().map(T::to_string).collect();
    match words.is_empty() {
        true => "all".to_owned(),
        false => words.join(", "),
    }
}

fn days(duration: Duration) -> u64 {
    duration.as_secs() / (24 * 3600)
}

fn minutes(duration: Duration) -> u64 {
    duration.as_secs() / 60
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
