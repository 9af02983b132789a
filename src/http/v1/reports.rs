//! The acceptance table, as JSON and as a file for spreadsheets.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;
use utoipa::IntoParams;

use crate::health::Link;
use crate::http::error::ApiError;
use crate::http::query::{Given, Parameters, Query};
use crate::http::ui::language::Language;
use crate::http::{Api, Service};
use crate::report::{self, Acceptance, Known, TESTED_MS};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// The period where none is given, and the longest, in days.
const DAYS_DEFAULT: i64 = 30;
pub(in crate::http) const DAYS_MAX: i64 = 366;

/// Of what time.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "its fields are what OpenAPI names; `Period` holds the checked values"
)]
pub(crate) struct PeriodQuery {
    /// From this moment on (RFC 3339). Left out: 30 days before the end.
    #[param(format = DateTime, example = "2026-01-31T18:00:00+08:00")]
    from: Option<String>,
    /// Until this moment (RFC 3339), now at the latest. Left out: now.
    #[param(format = DateTime, example = "2026-02-01T00:00:00+08:00")]
    to: Option<String>,
}

/// The checked parameters of [`PeriodQuery`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Period {
    pub(in crate::http) from_ms: Option<i64>,
    pub(in crate::http) to_ms: Option<i64>,
}

impl Parameters for Period {
    type Named = PeriodQuery;

    fn read(given: &Given) -> Result<Self, ApiError> {
        const TIME: &str = "a moment such as 2026-01-31T18:00:00+08:00 (with '+' written as %2B)";
        let moment_ms = |name| -> Result<Option<i64>, ApiError> {
            let moment = given.value::<Timestamp>(name, TIME)?;
            Ok(moment.map(Timestamp::as_millisecond))
        };
        Ok(Self {
            from_ms: moment_ms("from")?,
            to_ms: moment_ms("to")?,
        })
    }
}

/// The acceptance table (indicators 14, 15 and 4) of a time, per site: each rate with what was
/// counted and what each thing lacks.
#[utoipa::path(
    get,
    operation_id = "acceptance",
    path = "/api/v1/reports/acceptance",
    tag = "reports",
    params(PeriodQuery),
    responses((status = 200, description = "The table", body = Acceptance))
)]
pub(crate) async fn acceptance(
    State(service): State<Arc<Service>>,
    Query(period): Query<Period>,
) -> Result<Json<Acceptance>, ApiError> {
    Ok(Json(table(&service.api, period).await?))
}

/// The same as CSV (UTF-8 with its mark, for spreadsheets), a line for each thing that was counted.
#[utoipa::path(
    get,
    operation_id = "acceptance_csv",
    path = "/api/v1/reports/acceptance.csv",
    tag = "reports",
    params(PeriodQuery),
    responses((status = 200, description = "The table", body = String, content_type = "text/csv"))
)]
pub(crate) async fn acceptance_csv(
    State(service): State<Arc<Service>>,
    language: Language,
    Query(period): Query<Period>,
) -> Result<impl IntoResponse, ApiError> {
    let table = table(&service.api, period).await?;
    let rows = language.records().rows(&table);
    Ok((
        [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"plumb-acceptance.csv\"",
            ),
        ],
        report::csv::bytes(&rows),
    ))
}

/// Returns the table.
pub(in crate::http) async fn table(api: &Api, period: Period) -> Result<Acceptance, ApiError> {
    let now_ms = api.clock.now().as_millisecond();
    let to_ms = period.to_ms.unwrap_or(now_ms).min(now_ms);
    let from_ms = period.from_ms.unwrap_or(to_ms - DAYS_DEFAULT * DAY_MS);
    if !(1..=DAYS_MAX * DAY_MS).contains(&(to_ms.saturating_sub(from_ms))) {
        return Err(ApiError::BadParameter {
            name: "from",
            value: from_ms.to_string(),
            allowed: "a moment before `to` and before now, by 366 days at the most",
        });
    }
    let faults = api.store.fault_spans(from_ms, to_ms).await?;
    let runs = api.store.runs(from_ms, to_ms).await?;
    let rides = api.store.newest_rides(now_ms - TESTED_MS).await?;
    let scenes = api.scenes.iter().map(|(id, scene)| {
        let scene = scene.current();
        (id, scene)
    });
    let coverage: BTreeMap<_, _> = scenes
        .filter(|(_, scene)| scene.scene.facade.is_some())
        .map(|(id, scene)| (id.clone(), scene.scene.coverage()))
        .collect();
    let health = api.board.snapshot();
    let is_online = |id: &_| {
        let found = health.get(id);
        found.is_some_and(|health| {
            let blind = health.faults.iter().any(|fault| fault == "no_picture");
            health.link == Link::Online && !blind
        })
    };
    Ok(report::acceptance(&Known {
        inventory: &api.inventory,
        coverage: &coverage,
        faults: &faults,
        runs: &runs,
        rides: &rides,
        online: &is_online,
        from_ms,
        to_ms,
    }))
}
