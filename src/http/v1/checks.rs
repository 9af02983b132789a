//! A check of everything that the configuration names, by the running service.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::http::Service;
use crate::http::access::Principal;
use crate::http::checks::{self, Finding};
use crate::http::error::ApiError;
use crate::http::openapi::Conflict;
use crate::http::query::NoQuery;

/// What was found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CheckReport {
    pub failed: usize,
    pub findings: Vec<CheckFinding>,
}

/// What one thing came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CheckFinding {
    /// `models`, `data_dir`, `footage`, `camera`, `endpoint` or `config`.
    pub what: &'static str,
    /// Of a camera or an endpoint.
    pub id: Option<String>,
    pub ok: bool,
    /// In English, as `plumb check` says it.
    pub detail: String,
}

/// Tries models, data directory, cameras and receivers anew, as `plumb check` does. Each receiver gets
/// one test message. Takes up to 20 s.
#[utoipa::path(
    post,
    operation_id = "check",
    path = "/api/v1/service/check",
    tag = "service",
    responses((status = 200, description = "What was found", body = CheckReport), Conflict)
)]
pub(crate) async fn check(
    State(service): State<Arc<Service>>,
    who: Principal,
    _: NoQuery,
) -> Result<Json<CheckReport>, ApiError> {
    let findings = checks::run(&service, &who).await?;
    let of = |finding: Finding| CheckFinding {
        what: finding.what.word(),
        id: finding.what.id().map(str::to_owned),
        ok: finding.result.is_ok(),
        detail: match finding.result {
            Ok(well) => well.to_string(),
            Err(bad) => bad.detail,
        },
    };
    let findings: Vec<CheckFinding> = findings.into_iter().map(of).collect();
    Ok(Json(CheckReport {
        failed: findings.iter().filter(|finding| !finding.ok).count(),
        findings,
    }))
}
