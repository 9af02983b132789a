//! What a ticket covers: alarms, or footage; never nothing, and never more than a bundle can hold.

use serde::{Deserialize, Serialize};

use super::too_many;
use crate::id::{AlarmId, CameraId};
use crate::store::error::Fault;
use crate::store::{StoreError, Tx, footage, lifecycle};

/// Alarms of one ticket at the most: their bundle stays below a gigabyte.
pub const ALARMS_MAX: u32 = 50;
/// Segments of footage of one ticket at the most: half an hour, whose pictures take about as long to be
/// encoded anew.
pub const FOOTAGE_MAX: u32 = 30;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// These alarms.
    #[schema(value_type = Vec<String>)]
    Alarms(Vec<AlarmId>),
    /// All alarms of one camera that were raised within a time.
    Camera {
        #[schema(value_type = String)]
        camera: CameraId,
        /// Unix milliseconds; the end is not part of it.
        from_ms: i64,
        to_ms: i64,
    },
    /// The ordinary video of one camera within a time, in whole segments.
    Footage {
        #[schema(value_type = String)]
        camera: CameraId,
        /// Unix milliseconds; the end is not part of it.
        from_ms: i64,
        to_ms: i64,
    },
}

/// Returns the alarms of a scope, oldest first, each once; none of footage.
pub(super) async fn alarms_of(tx: &mut Tx, scope: &Scope) -> Result<Vec<AlarmId>, Fault> {
    let limit = ALARMS_MAX + 1;
    let found: Vec<AlarmId> = match scope {
        Scope::Alarms(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            for id in ids.iter().take(limit as usize) {
                lifecycle::known(tx, *id).await?;
            }
            ids
        }
        Scope::Camera {
            camera,
            from_ms,
            to_ms,
        } => {
            let ids: Vec<String> = sqlx::query_scalar(
                "SELECT id FROM alarm WHERE camera = ? AND raised_at_ms >= ? AND raised_at_ms < ? \
                 ORDER BY raised_at_ms, id LIMIT ?",
            )
            .bind(camera.as_str())
            .bind(from_ms)
            .bind(to_ms)
            .bind(limit)
            .fetch_all(&mut **tx)
            .await?;
            let parsed = ids.iter().map(|id| id.parse::<AlarmId>());
            let parsed: Result<_, _> = parsed.collect();
            parsed.map_err(|error| sqlx::Error::Decode(Box::new(error)))?
        }
        Scope::Footage {
            camera,
            from_ms,
            to_ms,
        } => {
            check_footage(tx, camera, *from_ms, *to_ms).await?;
            return Ok(Vec::new());
        }
    };
    if found.is_empty() {
        return Err(StoreError::EmptyScope.into());
    }
    if found.len() > ALARMS_MAX as usize {
        return Err(too_many(
            "alarms in this ticket's scope",
            i64::from(ALARMS_MAX),
        ));
    }
    Ok(found)
}

/// Refuses a time of which there is no footage, or too much.
async fn check_footage(
    tx: &mut Tx,
    camera: &CameraId,
    from_ms: i64,
    to_ms: i64,
) -> Result<(), Fault> {
    let segments = footage::count(tx, camera, (from_ms, to_ms)).await?;
    if segments == 0 {
        return Err(StoreError::EmptyScope.into());
    }
    if segments > i64::from(FOOTAGE_MAX) {
        return Err(too_many(
            "segments of footage in this ticket's scope",
            i64::from(FOOTAGE_MAX),
        ));
    }
    Ok(())
}
