//! The auditor's page: what was done by whom, newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::texts::deeds;
use super::{Frame, page};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::v1::audit::Wanted;
use crate::store::{AuditFilter, AuditOutcome, AuditRecord};

#[derive(Template)]
#[template(path = "audit.html", config = "src/http/ui/askama.toml")]
struct AuditPage {
    frame: Frame,
    who: String,
    action: String,
    object: String,
    /// What there is to be chosen from when somebody types; others may be typed.
    actions: Vec<(&'static str, &'static str)>,
    rows: Vec<RowView>,
    next: Option<String>,
}

struct RowView {
    seq: i64,
    at_ms: i64,
    who: String,
    action: String,
    /// What the reader calls it.
    deed: &'static str,
    object: String,
    is_refused: bool,
    detail: Option<String>,
}

impl RowView {
    fn new(language: Language, row: AuditRecord) -> Self {
        Self {
            deed: deeds::deed(language, &row.action),
            seq: row.seq,
            at_ms: row.at_ms,
            who: row.who,
            action: row.action,
            object: row.object,
            is_refused: row.outcome == AuditOutcome::Refused,
            detail: row.detail,
        }
    }
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let Wanted { filter, limit } = wanted;
    // A form sends what was left empty, too.
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let filter = AuditFilter {
        who: given(filter.who),
        action: given(filter.action),
        object: given(filter.object),
        before: filter.before,
    };
    let rows = service.api.store.audit_page(&filter, limit).await?;
    let is_full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let oldest = rows
        .last()
        .map(|row| row.seq)
        .filter(|seq| is_full && *seq > 1);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    page(&AuditPage {
        frame: Frame::of(language, &address(&filter, filter.before), &who),
        who: text(&filter.who),
        action: text(&filter.action),
        object: text(&filter.object),
        actions: deeds::deeds(language).collect(),
        next: oldest.map(|before| address(&filter, Some(before))),
        rows: rows
            .into_iter()
            .map(|row| RowView::new(language, row))
            .collect(),
    })
}

fn address(filter: &AuditFilter, before: Option<i64>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let texts = [
        ("who", &filter.who),
        ("action", &filter.action),
        ("object", &filter.object),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            query.append_pair(name, text);
        }
    }
    if let Some(before) = before {
        query.append_pair("before", &before.to_string());
    }
    match query.finish() {
        query if query.is_empty() => "/audit".to_owned(),
        query => format!("/audit?{query}"),
    }
}
