//! Reads columns into the types they stand for. A value that does not parse is an error that
//! names its column.

use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// Returns the column's text, parsed.
pub(super) fn parsed<T>(row: &SqliteRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// Returns the column's text as the word that JSON uses for a value, e.g. an enum's.
pub(super) fn word<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(text.into()).map_err(|error| unreadable(column, error))
}

/// Returns the column's text as the word that JSON uses for a value; none where it is NULL.
pub(super) fn word_or_none<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_value(text.into()))
        .transpose()
        .map_err(|error| unreadable(column, error))
}

/// Returns the column's JSON; none where it is NULL.
pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|error| unreadable(column, error))
}

/// Returns a value as JSON text for a column.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn unreadable(
    column: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    }
}
