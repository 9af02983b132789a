//! Records as pages show them: words of the reader's language in the place of ids and enums.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::language::Language;
use super::texts::{Texts, deeds, fill};
use crate::alarm::{AlarmKind, Origin};
use crate::health::{CameraHealth, Link};
use crate::http::{Api, CameraInfo};
use crate::id::{CameraId, SiteId};
use crate::store::{AlarmRecord, AlarmState, DeliveryRecord, DeliveryState, FootageUse};

/// One alarm as cards, rows and its page show it.
pub(super) struct AlarmView {
    pub(super) id: String,
    /// `event` or `fault`: chooses the colour.
    pub(super) tone: &'static str,
    pub(super) kind: &'static str,
    pub(super) kind_text: &'static str,
    /// Building or elevator; the camera's name where it has none.
    pub(super) place: String,
    pub(super) camera: String,
    pub(super) site: String,
    /// Building and elevator, where they are known and the place does not say them.
    pub(super) within: Option<String>,
    pub(super) floor: Option<String>,
    pub(super) score: String,
    pub(super) state: &'static str,
    pub(super) state_text: &'static str,
    pub(super) disposition: Option<&'static str>,
    /// It lasts and ends, as all but a fall do.
    pub(super) is_state: bool,
    pub(super) raised_at_ms: i64,
    pub(super) raised_at: String,
    pub(super) ended_at_ms: Option<i64>,
    pub(super) ended_at: String,
    /// Who it is assigned to, else who has acknowledged it.
    pub(super) holder: Option<String>,
    pub(super) acknowledged_by: Option<String>,
    pub(super) acknowledged_at_ms: i64,
    pub(super) closed_by: Option<String>,
    pub(super) closed_at_ms: i64,
    pub(super) note: Option<String>,
    /// When it went further, 0 where it did not.
    pub(super) escalated_at_ms: i64,
    pub(super) shelved: bool,
}

impl AlarmView {
    pub(super) fn new(api: &Api, t: &'static Texts, alarm: &AlarmRecord) -> Self {
        let camera = camera_name(api, &alarm.camera);
        let place = match alarm.place.as_str() {
            "" => camera.clone(),
            place => place.to_owned(),
        };
        let closed = alarm.closed_by.clone();
        Self {
            id: alarm.id.to_string(),
            tone: if alarm.kind.is_fault() {
                "fault"
            } else {
                "event"
            },
            kind: alarm.kind.as_str(),
            kind_text: t.kind_of(alarm.kind),
            place,
            camera,
            site: site_name(api, &alarm.site),
            within: within(api, &alarm.camera, &alarm.place),
            floor: alarm.origin.as_ref().and_then(|origin| floor(t, origin)),
            score: format!("{:.2}", alarm.score),
            state: alarm.state.as_str(),
            state_text: t.state_of(alarm.state),
            disposition: alarm.disposition.map(|found| t.disposition_of(found)),
            is_state: alarm.kind != AlarmKind::FallingObject,
            raised_at_ms: alarm.raised_at_ms,
            raised_at: moment(alarm.raised_at_ms),
            ended_at_ms: alarm.ended_at_ms,
            ended_at: alarm.ended_at_ms.map(moment).unwrap_or_default(),
            holder: holder(alarm).map(|who| api.store.name_of(&who)),
            acknowledged_by: alarm
                .acknowledged_by
                .as_deref()
                .map(|who| api.store.name_of(who)),
            acknowledged_at_ms: alarm.acknowledged_at_ms.unwrap_or_default(),
            closed_by: closed
                .filter(|_| alarm.state == AlarmState::Closed)
                .map(|who| api.store.name_of(&who)),
            closed_at_ms: alarm.closed_at_ms.unwrap_or_default(),
            note: alarm.note.clone(),
            shelved: alarm.shelved,
            escalated_at_ms: alarm.escalated_at_ms.unwrap_or_default(),
        }
    }
}

/// A camera's footage as tiles show it; none of a camera that keeps none.
pub(super) struct FootageView {
    /// None until the first segment is written.
    pub(super) oldest_ms: Option<i64>,
}

impl FootageView {
    pub(super) fn of(camera: &CameraInfo, used: &[FootageUse]) -> Option<Self> {
        let own = used.iter().find(|used| used.camera == camera.id);
        let oldest_ms = own.map(|own| own.oldest_ms);
        (camera.keeps_footage || oldest_ms.is_some()).then_some(Self { oldest_ms })
    }
}

impl AlarmView {
    /// Returns who has it in hand; nobody has once it is closed.
    pub(super) fn held_by(&self) -> Option<&str> {
        self.holder.as_deref().filter(|_| self.closed_by.is_none())
    }
}

/// Returns who has the alarm in hand, or had when it was closed.
fn holder(alarm: &AlarmRecord) -> Option<String> {
    let closed = alarm.closed_by.as_ref();
    let taken = alarm
        .assigned_to
        .as_ref()
        .or(alarm.acknowledged_by.as_ref());
    closed.or(taken).cloned()
}

/// Returns "floor 14 (13 to 15)" in the reader's language; none where the floor is unknown.
pub(super) fn floor(t: &Texts, origin: &Origin) -> Option<String> {
    let floor = origin.floor?;
    Some(match (origin.floor_min, origin.floor_max) {
        (Some(min), Some(max)) if min < max => fill(t.floor_between, &[&floor, &min, &max]),
        _ => fill(t.floor_exact, &[&floor]),
    })
}

/// Returns the camera's building and elevator without what the place says already.
pub(super) fn within(api: &Api, id: &CameraId, place: &str) -> Option<String> {
    let camera = api.cameras.iter().find(|camera| camera.id == *id)?;
    let parts = [camera.building.as_str(), camera.elevator.as_str()];
    let unsaid: Vec<_> = parts
        .into_iter()
        .filter(|part| !part.is_empty() && !place.contains(part))
        .collect();
    (!unsaid.is_empty()).then(|| unsaid.join(" · "))
}

/// How a camera is, in the reader's words.
pub(super) struct HealthView {
    pub(super) tone: &'static str,
    pub(super) link_text: &'static str,
    pub(super) faults: Vec<&'static str>,
    pub(super) fps: String,
    pub(super) lost: u64,
}

impl HealthView {
    /// Returns what pages show of a camera's health.
    pub(super) fn new(t: &'static Texts, health: &CameraHealth) -> Self {
        let faults: Vec<_> = health
            .faults
            .iter()
            .map(|fault| t.kind_named(fault))
            .collect();
        let (link_text, tone) = match health.link {
            Link::Connecting => (t.link_connecting, "warn"),
            Link::Offline => (t.offline, "bad"),
            Link::Online if faults.is_empty() => (t.online, "good"),
            Link::Online => (t.online, "warn"),
        };
        Self {
            tone,
            link_text,
            faults,
            fps: format!("{:.1}", health.fps),
            lost: health.packets_lost,
        }
    }
}

pub(super) fn camera_name(api: &Api, id: &CameraId) -> String {
    let found = api.cameras.iter().find(|camera| camera.id == *id);
    let own = || own_name(id.as_str());
    found.map_or_else(own, |camera| camera.name.clone())
}

pub(super) fn site_name(api: &Api, id: &SiteId) -> String {
    let found = api.sites.iter().find(|site| site.id == *id);
    let own = || own_name(id.as_str());
    found.map_or_else(own, |site| site.name.clone())
}

/// Returns what people read in the place of an id without a name.
fn own_name(id: &str) -> String {
    match id {
        crate::id::SERVICE => "Plumb".to_owned(),
        id => id.to_owned(),
    }
}

/// Returns the moment in this machine's zone; the page's script shows it in the reader's.
pub(super) fn moment(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(
        |_| String::new(),
        |at| {
            let there = at.to_zoned_datetime(TimeZone::system());
            there.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

/// One delivery as the alarm page shows it.
pub(super) struct DeliveryView {
    pub(super) id: String,
    pub(super) endpoint: String,
    pub(super) event: &'static str,
    /// What the reader calls it.
    pub(super) deed: &'static str,
    pub(super) state: &'static str,
    pub(super) state_text: &'static str,
    pub(super) created_at_ms: i64,
    pub(super) why: String,
    pub(super) log: Vec<crate::store::AttemptRecord>,
}

impl DeliveryView {
    pub(super) fn new(language: Language, delivery: DeliveryRecord) -> Self {
        let t = language.texts();
        let (state, state_text) = match delivery.state {
            DeliveryState::Pending => ("pending", t.delivery_pending),
            DeliveryState::Sending => ("sending", t.delivery_sending),
            DeliveryState::Delivered => ("delivered", t.delivery_delivered),
            DeliveryState::Dead => ("dead", t.delivery_dead),
            DeliveryState::Cancelled => ("cancelled", t.delivery_cancelled),
        };
        Self {
            id: delivery.id.to_string(),
            endpoint: delivery.endpoint.to_string(),
            event: delivery.event.as_str(),
            deed: deeds::deed(language, delivery.event.as_str()),
            state,
            state_text,
            created_at_ms: delivery.created_at_ms,
            why: delivery.last_error.unwrap_or_default(),
            log: delivery.log,
        }
    }
}
