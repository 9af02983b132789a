//! The page of one alarm: what it was, what was seen, who does what about it, whom it was told.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::board::{HANDLERS, Handler, handlers};
use super::charts::{self, FallChart};
use super::facade_drawing;
use super::filter::Chosen;
use super::footage;
use super::language::Language;
use super::texts::lacks::lack;
use super::view::{AlarmView, DeliveryView};
use super::{Frame, page};
use crate::alarm::AlarmKind;
use crate::auth::Role;
use crate::evidence::manifest::picture_size_px;
use crate::evidence::room::below;
use crate::evidence::{self, Hidden};
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::replays::kind_of;
use crate::http::v1::alarms::find;
use crate::http::{Api, Service, judged_facade, renditions, sight};
use crate::id::{AlarmId, SERVICE};
use crate::scene::facade::FacadeScene;
use crate::store::{AlarmDetail, Deletion, EscalationRecord, EvidenceState, Hold, NoteRecord};

#[derive(Template)]
#[template(path = "alarm.html", config = "src/http/ui/askama.toml")]
struct AlarmPage {
    frame: Frame,
    seq: i64,
    beside: BesideView,
    alarm: AlarmView,
    may_handle: bool,
    may_hold: bool,
    hold: Option<Hold>,
    deletion: Option<Deletion>,
    /// Of the disk or the clock: no camera saw anything.
    is_of_service: bool,
    /// There is evidence, or will be: it can be held, and leave the house.
    may_leave: bool,
    may_mend: bool,
    handlers: Vec<Handler>,
    may_replay: bool,
    clip: Option<String>,
    /// The copy of the clip that may be shown is still to be made.
    clip_waits: bool,
    /// The way to the footage of that moment, where there is some.
    footage: Option<String>,
    /// What is hidden in what is shown.
    hidden_text: Option<&'static str>,
    manifest: String,
    strobe: Option<String>,
    snapshot: Option<String>,
    evidence_text: &'static str,
    evidence_reason: Option<String>,
    fall: Option<FallChart>,
    floors: Option<String>,
    ride: Option<String>,
    escalations: Vec<EscalationRecord>,
    notes: Vec<NoteRecord>,
    deliveries: Vec<DeliveryView>,
    /// JSON, for the script that draws over the clip.
    track: String,
}

/// The way to the alarms beside this one within the reader's filter, and whether they have looked
/// through this one.
struct BesideView {
    newer: Option<String>,
    older: Option<String>,
    list: Option<String>,
    is_reviewed: bool,
    may_mark: bool,
}

impl BesideView {
    async fn new(
        api: &Api,
        chosen: &Chosen,
        detail: &AlarmDetail,
        frame: &Frame,
    ) -> Result<Self, ApiError> {
        let id = detail.alarm.id;
        let reader = frame.who.as_ref().map_or("", |who| who.login.as_str());
        let beside = api.store.beside(&chosen.filter(reader), id).await?;
        let address = |id: AlarmId| chosen.address(&format!("/alarms/{id}"), &[]);
        let reviewed = api.store.reviewed_of(&[id], reader).await?;
        Ok(Self {
            newer: beside.newer.map(address),
            older: beside.older.map(address),
            list: chosen.is_narrow().then(|| chosen.address("/review", &[])),
            is_reviewed: !reviewed.is_empty(),
            may_mark: frame.is(&[Role::Manager]) && !detail.alarm.kind.is_fault(),
        })
    }
}

/// The page of one alarm.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Path(id): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    let seq = *api.store.newest_seq().borrow();
    let detail = find(&service, &id).await?;
    let path = chosen.address(&format!("/alarms/{}", detail.alarm.id), &[]);
    let frame = Frame::of(language, &path, &who);
    let url = |name: &str| {
        let known = detail.files.iter().any(|file| file.name == name);
        known.then(|| format!("/api/v1/alarms/{}/evidence/{name}", detail.alarm.id))
    };
    let sight = sight::of_alarm(&service, &who, &detail.alarm).await?;
    let facade = facade(api, &detail).await?;
    let facade = facade.as_ref().map(|(scene, size_px)| (scene, *size_px));
    let is_fall = detail.alarm.kind == AlarmKind::FallingObject;
    let track = serde_json::to_string(&detail.track);
    page(&AlarmPage {
        seq,
        beside: BesideView::new(api, &chosen, &detail, &frame).await?,
        may_handle: frame.is(&HANDLERS),
        may_hold: frame.is(&[Role::Manager]),
        hold: detail.alarm.hold.clone().map(|hold| named_hold(api, hold)),
        deletion: detail.alarm.evidence_deleted,
        is_of_service: detail.alarm.camera.as_str() == SERVICE,
        may_leave: detail.alarm.evidence != EvidenceState::Missing || !detail.files.is_empty(),
        may_mend: frame.is(&[Role::Manager]),
        may_replay: frame.is(&[Role::Auditor])
            && kind_of(detail.alarm.kind).is_some()
            && url(evidence::CLIP).is_some(),
        handlers: handlers(&service).await?,
        clip: url(evidence::CLIP),
        clip_waits: sight.hidden != Hidden::Nothing
            && !renditions::is_there(api, &detail, evidence::CLIP, &sight.hidden).await,
        footage: footage::way_to(api, &detail.alarm.camera, detail.alarm.raised_at_ms).await?,
        hidden_text: hidden_text(language, &sight.hidden),
        manifest: url(evidence::MANIFEST).unwrap_or_default(),
        strobe: url(evidence::STROBE),
        snapshot: url(evidence::SNAPSHOT),
        evidence_text: match detail.alarm.evidence {
            EvidenceState::Pending => t.evidence_pending,
            EvidenceState::Ready | EvidenceState::Missing => t.evidence_none,
        },
        // Told in the reader's own language where it was deleted.
        evidence_reason: match detail.alarm.evidence_deleted {
            Some(_) => None,
            None => (detail.alarm.evidence_reason.as_deref()).map(|kept| lack(language, kept)),
        },
        fall: is_fall
            .then(|| charts::fall(t, &detail.track, facade))
            .flatten(),
        floors: facade
            .zip(detail.alarm.origin.as_ref())
            .and_then(|((scene, size_px), origin)| {
                facade_drawing::draw(t, origin, &detail.track, scene, size_px)
            }),
        ride: (detail.alarm.kind == AlarmKind::EbikeInElevator)
            .then(|| charts::ride(t, &detail.alarm, &detail.track)),
        alarm: AlarmView::new(api, t, &detail.alarm),
        track: track.map_err(|error| ApiError::internal("a track", &error))?,
        escalations: detail.escalations,
        notes: named_notes(api, detail.notes),
        deliveries: detail
            .deliveries
            .into_iter()
            .map(|delivery| DeliveryView::new(language, delivery))
            .collect(),
        frame,
    })
}

/// Returns what the page says of what it does not show.
fn hidden_text(language: Language, hidden: &Hidden) -> Option<&'static str> {
    match hidden {
        Hidden::Nothing => None,
        Hidden::Masks(_) => Some(language.sight().masks_hidden),
        Hidden::People => Some(language.sight().people_hidden),
    }
}

/// Returns the hold with its person's display name.
fn named_hold(api: &Api, hold: Hold) -> Hold {
    Hold {
        by: api.store.name_of(&hold.by),
        ..hold
    }
}

/// Returns the notes with their persons' display names.
fn named_notes(api: &Api, notes: Vec<NoteRecord>) -> Vec<NoteRecord> {
    let named = |note: NoteRecord| NoteRecord {
        who: api.store.name_of(&note.who),
        ..note
    };
    notes.into_iter().map(named).collect()
}

/// Returns the facade by which the alarm was judged, also where the camera's scene has changed since,
/// and the size of its pictures: as its evidence has it, else as the camera sends them now.
async fn facade(
    api: &Api,
    detail: &AlarmDetail,
) -> Result<Option<(FacadeScene, (u32, u32))>, ApiError> {
    let Some(facade) = judged_facade(&api.store, &detail.alarm).await? else {
        return Ok(None);
    };
    let folder = detail.evidence_folder.as_deref();
    let folder = folder.and_then(|folder| below(&api.evidence_root, folder.split('/')));
    let recorded = tokio::task::spawn_blocking(move || picture_size_px(&folder?)).await;
    let recorded = recorded.map_err(|error| ApiError::internal("a manifest", &error))?;
    let health = api.board.camera(&detail.alarm.camera);
    let sent = health.map(|health| (health.width_px, health.height_px));
    let size_px = recorded.or(sent.filter(|size_px| size_px.0 > 0 && size_px.1 > 0));
    Ok(size_px.map(|size_px| (facade, size_px)))
}
