//! Alarms counted: by days for the calendar and the trends, by what people found them to be, by where
//! they came from. Everything is found in indexes alone (`migrations/0021_review.sql`).

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::alarm::{AlarmFilter, Disposition, narrow_by};
use super::error::Fault;
use super::review::EVENTS;
use super::row::{parsed, word_or_none};
use super::{Store, StoreError};
use crate::id::{AlarmId, CameraId, SiteId};

/// Spans that are counted at a time: six weeks of a calendar, a year of weeks.
pub const SPANS_MAX: usize = 64;
/// Falls whose places are compared at the most, the newest.
pub const ORIGINS_MAX: u32 = 5_000;

/// From a moment on, until before another one; Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// How many alarms there were in one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    pub falls: u32,
    pub ebikes: u32,
    /// Camera faults of all kinds.
    pub faults: u32,
}

/// What people found one camera's alarms to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispositionCount {
    pub camera: CameraId,
    /// None while an alarm is open.
    pub disposition: Option<Disposition>,
    pub count: u32,
}

/// Where one fall came from.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginRecord {
    pub id: AlarmId,
    pub camera: CameraId,
    pub raised_at_ms: i64,
    pub floor: Option<i32>,
    pub x_px: f64,
    pub y_px: f64,
    pub scene_sha256: Option<String>,
}

/// The e-bikes of one elevator's camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RideCount {
    pub camera: CameraId,
    pub place: String,
    pub count: u32,
    pub newest_at_ms: i64,
}

/// What was found false or a test, or has technical reasons, is no place where something happens.
const HAPPENED: &str = "(disposition IS NULL OR disposition = 'confirmed')";

impl Store {
    /// Returns how many alarms pass the filter in each span; the filter's own times do not matter.
    pub async fn alarm_counts(
        &self,
        filter: &AlarmFilter,
        spans: &[Span],
    ) -> Result<Vec<u32>, StoreError> {
        self.named(self.span_rows(filter, spans).await)
    }

    /// Returns how many alarms there were in each span.
    pub async fn kind_counts(
        &self,
        site: Option<&SiteId>,
        spans: &[Span],
    ) -> Result<Vec<KindCounts>, StoreError> {
        self.named(self.kind_rows(site, spans).await)
    }

    /// Returns what people found the events of each camera to be, by camera.
    pub async fn disposition_counts(
        &self,
        site: Option<&SiteId>,
        span: Span,
    ) -> Result<Vec<DispositionCount>, StoreError> {
        self.named(self.disposition_rows(site, span).await)
    }

    /// Returns where the newest falls of the span came from, at most [`ORIGINS_MAX`], newest first,
    /// without those that were found to be none.
    pub async fn origins(
        &self,
        site: Option<&SiteId>,
        span: Span,
    ) -> Result<Vec<OriginRecord>, StoreError> {
        self.named(self.origin_rows(site, span).await)
    }

    /// Returns how many e-bikes each camera has seen in the span, without those that were none.
    pub async fn ride_counts(
        &self,
        site: Option<&SiteId>,
        span: Span,
    ) -> Result<Vec<RideCount>, StoreError> {
        self.named(self.ride_rows(site, span).await)
    }

    async fn span_rows(&self, filter: &AlarmFilter, spans: &[Span]) -> Result<Vec<u32>, Fault> {
        let untimed = AlarmFilter {
            from_ms: None,
            to_ms: None,
            ..filter.clone()
        };
        let mut tx = self.0.readers.begin().await?;
        let mut counts = Vec::new();
        for span in spans.iter().take(SPANS_MAX) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM alarm WHERE 1 = 1");
            within(&mut query, *span);
            narrow_by(&mut query, &untimed);
            let count: i64 = query.build_query_scalar().fetch_one(&mut *tx).await?;
            counts.push(small(count));
        }
        Ok(counts)
    }

    async fn kind_rows(
        &self,
        site: Option<&SiteId>,
        spans: &[Span],
    ) -> Result<Vec<KindCounts>, Fault> {
        let mut tx = self.0.readers.begin().await?;
        let mut counts = Vec::new();
        for span in spans.iter().take(SPANS_MAX) {
            // Sums in one pass: groups would be sorted first.
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT count(*) AS whole, coalesce(sum(kind = 'falling_object'), 0) AS falls, \
                 coalesce(sum(kind = 'ebike_in_elevator'), 0) AS ebikes FROM alarm WHERE 1 = 1",
            );
            of_site(&mut query, site);
            within(&mut query, *span);
            let row = query.build().fetch_one(&mut *tx).await?;
            let whole: i64 = row.try_get("whole")?;
            let (falls, ebikes): (i64, i64) = (row.try_get("falls")?, row.try_get("ebikes")?);
            counts.push(KindCounts {
                falls: small(falls),
                ebikes: small(ebikes),
                faults: small(whole - falls - ebikes),
            });
        }
        Ok(counts)
    }

    async fn disposition_rows(
        &self,
        site: Option<&SiteId>,
        span: Span,
    ) -> Result<Vec<DispositionCount>, Fault> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT camera, disposition, count(*) AS count FROM alarm INDEXED BY alarm_found WHERE ",
        );
        query.push(EVENTS);
        of_site(&mut query, site);
        within(&mut query, span);
        query.push(" GROUP BY camera, disposition ORDER BY camera, disposition");
        let rows = query.build().fetch_all(&self.0.readers).await?;
        let counts = rows.iter().map(|row| {
            Ok(DispositionCount {
                camera: parsed(row, "camera")?,
                disposition: word_or_none(row, "disposition")?,
                count: small(row.try_get("count")?),
            })
        });
        Ok(counts.collect::<Result<_, sqlx::Error>>()?)
    }

    async fn origin_rows(
        &self,
        site: Option<&SiteId>,
        span: Span,
    ) -> Result<Vec<OriginRecord>, Fault> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, camera, raised_at_ms, floor, origin_x_px, origin_y_px, scene_sha256 \
             FROM alarm WHERE kind = 'falling_object' AND origin_x_px IS NOT NULL AND ",
        );
        query.push(HAPPENED);
        of_site(&mut query, site);
        within(&mut query, span);
        query.push(" ORDER BY raised_at_ms DESC LIMIT ");
        query.push_bind(ORIGINS_MAX);
        let rows = query.build().fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(origin_of).collect::<Result<_, _>>()?)
    }

    async fn ride_rows(&self, site: Option<&SiteId>, span: Span) -> Result<Vec<RideCount>, Fault> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT camera, place, count(*) AS count, max(raised_at_ms) AS newest FROM alarm \
             INDEXED BY alarm_ride WHERE kind = 'ebike_in_elevator' AND ",
        );
        query.push(HAPPENED);
        of_site(&mut query, site);
        within(&mut query, span);
        query.push(" GROUP BY camera, place ORDER BY count DESC, newest DESC");
        let rows = query.build().fetch_all(&self.0.readers).await?;
        let counts = rows.iter().map(|row| {
            Ok(RideCount {
                camera: parsed(row, "camera")?,
                place: row.try_get("place")?,
                count: small(row.try_get("count")?),
                newest_at_ms: row.try_get("newest")?,
            })
        });
        Ok(counts.collect::<Result<_, sqlx::Error>>()?)
    }
}

fn within(query: &mut QueryBuilder<Sqlite>, span: Span) {
    query.push(" AND raised_at_ms >= ").push_bind(span.from_ms);
    query.push(" AND raised_at_ms < ").push_bind(span.to_ms);
}

fn of_site(query: &mut QueryBuilder<Sqlite>, site: Option<&SiteId>) {
    if let Some(site) = site {
        query
            .push(" AND site = ")
            .push_bind(site.as_str().to_owned());
    }
}

/// A store does not hold more alarms than that.
fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn origin_of(row: &SqliteRow) -> Result<OriginRecord, sqlx::Error> {
    Ok(OriginRecord {
        id: parsed(row, "id")?,
        camera: parsed(row, "camera")?,
        raised_at_ms: row.try_get("raised_at_ms")?,
        floor: row.try_get("floor")?,
        x_px: row.try_get("origin_x_px")?,
        y_px: row.try_get("origin_y_px")?,
        scene_sha256: row.try_get("scene_sha256")?,
    })
}
