//! Who sees what of what cameras saw: the one place that joins roles, scenes and pictures.
//!
//! A facade's masks are for everybody: what they cover is nobody's business. People in elevators are
//! for the roles that `privacy.see_people` names; to others an elevator's picture is in blocks. Each
//! way by which a picture leaves asks here: an alarm's pictures and clip, a camera's newest picture,
//! its live video. Bundles of tickets have a rule of their own (`export`).

use super::access::Principal;
use super::error::ApiError;
use super::{CameraInfo, SceneInForce, Service, facade_of, judged_facade, masks_of};
use crate::alarm::AlarmKind;
use crate::auth::{Role, SEE_PEOPLE};
use crate::evidence::Hidden;
use crate::scene::Kind;
use crate::scene::facade::FacadeScene;
use crate::store::{AlarmRecord, FootageRecord};

/// What is shown to whom, as configured.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// Roles that see people in elevators, some of [`SEE_PEOPLE`].
    pub see_people: Vec<Role>,
    /// Cameras whose live video is encoded anew at a time.
    pub live_encodings: usize,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            see_people: SEE_PEOPLE.to_vec(),
            live_encodings: 2,
        }
    }
}

/// What of an alarm's evidence somebody must not see.
pub(super) struct Sight {
    pub(super) hidden: Hidden,
    /// The facade by which the alarm was judged.
    pub(super) facade: Option<FacadeScene>,
}

/// Returns whether `who` sees people in elevators.
pub(super) fn sees_people(service: &Service, who: &Principal) -> bool {
    who.roles.any_of(&service.api.privacy.see_people)
}

/// Returns what `who` must not see of what the camera shows now.
pub(super) fn of_camera(service: &Service, who: &Principal, camera: &CameraInfo) -> Hidden {
    match camera.kind {
        Kind::Facade => Hidden::by_masks(masks_of(service.api.scenes.get(&camera.id), None)),
        Kind::Elevator if sees_people(service, who) => Hidden::Nothing,
        Kind::Elevator => Hidden::People,
    }
}

/// Returns whether there is anything that `who` must not see of what the camera shows now.
pub(super) fn hides_any(service: &Service, who: &Principal, camera: &CameraInfo) -> bool {
    match camera.kind {
        Kind::Facade => {
            let scene = service
                .api
                .scenes
                .get(&camera.id)
                .map(SceneInForce::current);
            let facade = scene.as_ref().and_then(|scene| scene.scene.facade.as_ref());
            facade.is_some_and(|facade| !facade.masks.is_empty())
        }
        Kind::Elevator => !sees_people(service, who),
    }
}

/// Returns what `who` must not see of the alarm's evidence.
pub(super) async fn of_alarm(
    service: &Service,
    who: &Principal,
    alarm: &AlarmRecord,
) -> Result<Sight, ApiError> {
    let api = &service.api;
    let camera = api.cameras.iter().find(|known| known.id == alarm.camera);
    let kind = match (camera, alarm.kind) {
        (Some(camera), _) => camera.kind,
        // Of a camera that is configured no more, as little as possible is shown.
        (None, AlarmKind::FallingObject) => Kind::Facade,
        (None, _) => Kind::Elevator,
    };
    if kind == Kind::Elevator {
        let hidden = match sees_people(service, who) {
            true => Hidden::Nothing,
            false => Hidden::People,
        };
        return Ok(Sight {
            hidden,
            facade: None,
        });
    }
    of_facade(service, alarm).await
}

/// Returns what `who` must not see of a segment of footage.
pub(super) async fn of_footage(
    service: &Service,
    who: &Principal,
    record: &FootageRecord,
) -> Result<Hidden, ApiError> {
    let api = &service.api;
    let facade = facade_of(&api.store, record.scene_sha256.as_deref()).await?;
    let camera = api.cameras.iter().find(|known| known.id == record.camera);
    let kind = match camera {
        Some(camera) => camera.kind,
        // Of a camera that is configured no more, as little as possible is shown.
        None if facade.is_some() => Kind::Facade,
        None => Kind::Elevator,
    };
    Ok(match kind {
        Kind::Facade => {
            let now = api.scenes.get(&record.camera);
            Hidden::by_masks(masks_of(now, facade.as_ref()))
        }
        Kind::Elevator if sees_people(service, who) => Hidden::Nothing,
        Kind::Elevator => Hidden::People,
    })
}

/// Returns what nobody is to see of the evidence of a facade's alarm.
pub(super) async fn of_facade(service: &Service, alarm: &AlarmRecord) -> Result<Sight, ApiError> {
    let api = &service.api;
    let facade = judged_facade(&api.store, alarm).await?;
    let masks = masks_of(api.scenes.get(&alarm.camera), facade.as_ref());
    Ok(Sight {
        hidden: Hidden::by_masks(masks),
        facade,
    })
}
