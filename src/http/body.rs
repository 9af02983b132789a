//! JSON bodies: of the right type, within the limit, with no unknown field.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::Service;
use super::error::ApiError;
use super::query::shortened;

/// Takes a JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, ApiError> {
        match Json::from_request(request, service).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refusal(&rejection, service.api.limits.body_bytes)),
        }
    }
}

/// Returns why the body was refused; `limit_bytes` is what the route takes.
pub(crate) fn refusal(rejection: &JsonRejection, limit_bytes: usize) -> ApiError {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => ApiError::WrongContentType,
        JsonRejection::BytesRejection(_) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::BodyTooLarge { limit_bytes }
        }
        // The text names the field, and for words the ones that are allowed.
        other => ApiError::BadBody {
            reason: shortened(&other.body_text()),
        },
    }
}
