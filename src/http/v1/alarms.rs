//! Alarms: found by filter, shown whole, acknowledged, closed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::alarm::{AlarmKind, TrackPoint, TrackPointRecord};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::openapi::{BadBody, Conflict, NotFound};
use crate::http::query::{Given, NoQuery, Parameters, Query, shortened};
use crate::id::{AccountId, AlarmId, CameraId, SiteId};
use crate::store::{
    AlarmDetail, AlarmFilter, AlarmRecord, AlarmState, Cursor, DeliveryRecord, Disposition,
    EscalationRecord, EvidenceFile, NoteRecord,
};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
const NOTE_CHARS_MAX: usize = 2000;

const KINDS: &str = "falling_object, ebike_in_elevator, no_picture, frozen_picture, occluded, \
    view_moved, shake, slow_frames, clock_drift, flooded, disk_filling, disk_full or clock_leapt";

const DISPOSITIONS: &str = "confirmed, false_alarm, technical or test";

/// Which alarms are wanted; what is left out does not matter.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Wanted` holds the checked values"
)]
pub(crate) struct AlarmQuery {
    /// Of this site.
    site: Option<String>,
    /// Of this camera.
    camera: Option<String>,
    /// Only shelved ones, or only announced ones.
    shelved: Option<bool>,
    /// Of this building or elevator, by its name.
    place: Option<String>,
    /// With this floor of origin.
    floor: Option<i32>,
    disposition: Option<Disposition>,
    kind: Option<AlarmKind>,
    state: Option<AlarmState>,
    /// Raised at or after this moment (RFC 3339).
    #[param(format = DateTime, example = "2026-01-31T18:00:00+08:00")]
    from: Option<String>,
    /// Raised before this moment (RFC 3339).
    #[param(format = DateTime, example = "2026-02-01T00:00:00+08:00")]
    to: Option<String>,
    /// With at least this score.
    #[param(minimum = 0.0, maximum = 1.0)]
    min_score: Option<f64>,
    /// Alarms a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The checked parameters of [`AlarmQuery`].
pub(crate) struct Wanted {
    filter: AlarmFilter,
    after: Option<Cursor>,
    limit: u32,
}

impl Parameters for Wanted {
    type Named = AlarmQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const ID: &str = "1 to 64 letters, digits, '.', '_' or '-'";
        const TIME: &str = "a moment such as 2026-01-31T18:00:00+08:00 (with '+' written as %2B)";
        let moment_ms = |name| -> Result<Option<i64>, ApiError> {
            let moment = given.value::<Timestamp>(name, TIME)?;
            Ok(moment.map(Timestamp::as_millisecond))
        };
        let limit = given.checked("limit", "a number from 1 to 200", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        let after = given.text("cursor").map(str::parse).transpose();
        Ok(Self {
            filter: AlarmFilter {
                site: given.value::<SiteId>("site", ID)?,
                camera: given.value::<CameraId>("camera", ID)?,
                shelved: given.value("shelved", "true or false")?,
                disposition: given.word("disposition", DISPOSITIONS)?,
                place: given.text("place").map(str::to_owned),
                floor: given.value("floor", "a floor's number")?,
                unreviewed_by: None,
                kind: given.word("kind", KINDS)?,
                state: given.word("state", "raised, acknowledged or closed")?,
                from_ms: moment_ms("from")?,
                to_ms: moment_ms("to")?,
                min_score: given.checked("min_score", "a number from 0 to 1", |text| {
                    text.parse()
                        .ok()
                        .filter(|score| (0.0..=1.0).contains(score))
                })?,
            },
            after: after.map_err(|_| ApiError::BadCursor)?,
            limit: limit.unwrap_or(LIMIT_DEFAULT),
        })
    }
}

/// Some alarms, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AlarmList {
    pub alarms: Vec<AlarmRecord>,
    /// Give it as `cursor` for the next page; none on the last one.
    pub next_cursor: Option<String>,
}

/// One alarm with all that belongs to it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AlarmWhole {
    #[serde(flatten)]
    pub alarm: AlarmRecord,
    #[schema(value_type = Vec<TrackPointRecord>)]
    pub track: Vec<TrackPoint>,
    pub files: Vec<EvidenceLink>,
    /// What people wrote about it, oldest first.
    pub notes: Vec<NoteRecord>,
    /// To whom it went further because nobody had acknowledged it, oldest first.
    pub escalations: Vec<EscalationRecord>,
    /// In the order of the events, each with its attempts.
    pub deliveries: Vec<DeliveryRecord>,
}

/// A file of evidence and where it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EvidenceLink {
    #[serde(flatten)]
    pub file: EvidenceFile,
    /// Its path on this service.
    pub url: String,
}

/// What a person found an alarm to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closing {
    pub disposition: Disposition,
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// In whose hands an alarm is to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    /// An account that may handle alarms.
    #[schema(value_type = String)]
    pub to: AccountId,
}

/// What somebody has to say about an alarm.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNote {
    #[schema(max_length = 2000)]
    pub text: String,
}

/// Alarms that fit a filter, newest first. Pages are stable: alarms that are raised meanwhile move
/// nothing.
#[utoipa::path(
    get,
    operation_id = "list_alarms",
    path = "/api/v1/alarms",
    tag = "alarms",
    params(AlarmQuery),
    responses((status = 200, description = "A page", body = AlarmList))
)]
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<AlarmList>, ApiError> {
    let Wanted {
        filter,
        after,
        limit,
    } = wanted;
    let page = service.api.store.alarms(&filter, after, limit).await?;
    Ok(Json(AlarmList {
        alarms: page.items,
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// One alarm with its track, evidence files, deliveries and their attempts.
#[utoipa::path(
    get,
    operation_id = "alarm",
    path = "/api/v1/alarms/{id}",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    responses((status = 200, description = "The alarm", body = AlarmWhole), NotFound)
)]
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<AlarmWhole>, ApiError> {
    let detail = find(&service, &id).await?;
    let link = |file: EvidenceFile| EvidenceLink {
        url: format!("/api/v1/alarms/{}/evidence/{}", detail.alarm.id, file.name),
        file,
    };
    Ok(Json(AlarmWhole {
        files: detail.files.into_iter().map(link).collect(),
        alarm: detail.alarm,
        track: detail.track,
        notes: detail.notes,
        escalations: detail.escalations,
        deliveries: detail.deliveries,
    }))
}

/// Takes the alarm. A second time changes nothing; what somebody else has taken is refused with
/// `taken` and their name as `holder`.
#[utoipa::path(
    post,
    operation_id = "acknowledge_alarm",
    path = "/api/v1/alarms/{id}/acknowledge",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    responses((status = 200, description = "The alarm", body = AlarmRecord), NotFound, Conflict)
)]
pub(crate) async fn acknowledge(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<AlarmRecord>, ApiError> {
    let id = parse_id(&id)?;
    Ok(Json(service.api.store.acknowledge(id, &who.actor).await?))
}

/// Closes the alarm with what somebody found it to be. That acknowledges it, too.
#[utoipa::path(
    post,
    operation_id = "close_alarm",
    path = "/api/v1/alarms/{id}/close",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    request_body = Closing,
    responses(
        (status = 200, description = "The alarm", body = AlarmRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn close(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(closing): JsonBody<Closing>,
) -> Result<Json<AlarmRecord>, ApiError> {
    let id = parse_id(&id)?;
    let note = text("note", closing.note.as_deref().unwrap_or(""))?;
    let store = &service.api.store;
    let closed = store.close_alarm(id, &who.actor, closing.disposition, note);
    Ok(Json(closed.await?))
}

/// Puts the alarm into somebody's hands. That acknowledges it, too.
#[utoipa::path(
    post,
    operation_id = "assign_alarm",
    path = "/api/v1/alarms/{id}/assign",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    request_body = Assignment,
    responses(
        (status = 200, description = "The alarm", body = AlarmRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn assign(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(assignment): JsonBody<Assignment>,
) -> Result<Json<AlarmRecord>, ApiError> {
    let id = parse_id(&id)?;
    let store = &service.api.store;
    let assigned = store.assign(id, &assignment.to, &who.actor);
    Ok(Json(assigned.await?))
}

/// Adds a note to the alarm. It stays: notes are neither changed nor removed.
#[utoipa::path(
    post,
    operation_id = "note_alarm",
    path = "/api/v1/alarms/{id}/notes",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id, a UUID")),
    request_body = NewNote,
    responses(
        (status = 200, description = "The alarm", body = AlarmRecord),
        BadBody, NotFound, Conflict
    )
)]
pub(crate) async fn note(
    State(service): State<Arc<Service>>,
    who: Principal,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(new): JsonBody<NewNote>,
) -> Result<Json<AlarmRecord>, ApiError> {
    let id = parse_id(&id)?;
    let Some(text) = text("text", &new.text)? else {
        let reason = "text is empty".to_owned();
        return Err(ApiError::BadBody { reason });
    };
    let noted = service.api.store.add_note(id, text, &who.actor);
    Ok(Json(noted.await?))
}

/// Returns a note without the blanks around it; none when nothing is left. Fails when it is long.
pub(super) fn text<'a>(name: &str, given: &'a str) -> Result<Option<&'a str>, ApiError> {
    let given = given.trim();
    if given.chars().count() > NOTE_CHARS_MAX {
        let reason = format!("{name} is longer than {NOTE_CHARS_MAX} characters");
        return Err(ApiError::BadBody { reason });
    }
    Ok((!given.is_empty()).then_some(given))
}

/// Returns the alarm of that id.
pub(in crate::http) async fn find(service: &Service, id: &str) -> Result<AlarmDetail, ApiError> {
    let id = parse_id(id)?;
    let found = service.api.store.alarm(id).await?;
    found.ok_or_else(|| ApiError::NotFound {
        what: "alarm",
        id: id.to_string(),
    })
}

pub(super) fn parse_id(text: &str) -> Result<AlarmId, ApiError> {
    text.parse().map_err(|_| ApiError::BadId {
        what: "an alarm",
        text: shortened(text),
        allowed: "a UUID such as 019a0b1c-7d2e-7f00-8a00-0123456789ab",
    })
}
