//! The configuration as the HTTP service is told of it.

use crate::config::{self, Camera};
use crate::http::{
    CameraInfo, CameraScene, FootageInfo, SceneInForce, SignIn, SiteInfo, Transport,
};
use crate::id::CameraId;

pub(super) fn sign_in(http: &config::Http, auth: &config::Auth) -> SignIn {
    SignIn {
        transport: match http.is_encrypted() {
            true => Transport::Tls,
            false => Transport::Plain,
        },
        proxies: http.proxies.clone(),
        sessions: http.sessions,
        second_factor_roles: auth.second_factor_roles.clone(),
    }
}

pub(super) fn site_info(site: &config::Site) -> SiteInfo {
    SiteInfo {
        id: site.id.clone(),
        name: site.name.clone(),
    }
}

pub(super) fn footage_info(footage: &config::Footage) -> FootageInfo {
    FootageInfo {
        root: footage.dir.clone(),
        days: footage.kept.as_secs() / (24 * 3600),
    }
}

pub(super) fn scene_in_force(camera: &Camera) -> (CameraId, SceneInForce) {
    let scene = CameraScene {
        scene: camera.scene.clone(),
        sha256: camera.scene_sha256.clone(),
        text: camera.scene_text.clone(),
    };
    let kept_in = camera.scene_file.clone();
    (camera.id.clone(), SceneInForce::new(scene, kept_in))
}

pub(super) fn camera_info(camera: &Camera) -> CameraInfo {
    CameraInfo {
        id: camera.id.clone(),
        name: camera.name.clone(),
        site: camera.site.clone(),
        building: camera.building.clone(),
        elevator: camera.elevator.clone(),
        place: camera.place.clone(),
        kind: camera.kind,
        keeps_footage: camera.footage,
    }
}
