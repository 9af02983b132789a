//! The acceptance table as a page that prints well.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::language::Language;
use super::{Frame, page};
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::http::v1::reports::{Period, table};
use crate::report::Acceptance;

#[derive(Template)]
#[template(path = "reports.html", config = "src/http/ui/askama.toml")]
struct ReportsPage {
    frame: Frame,
    table: Acceptance,
    from: String,
    to: String,
}

/// The page.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Query(period): Query<Period>,
) -> Result<Response, ApiError> {
    let table = table(&service.api, period).await?;
    let moment = |at_ms| {
        jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| String::new(), |at| at.to_string())
    };
    page(&ReportsPage {
        frame: Frame::of(language, "/reports", &who),
        from: moment(table.from_ms),
        to: moment(table.to_ms),
        table,
    })
}
