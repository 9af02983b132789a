//! Judges a configuration as written: ids, references, ranges, files, secrets. Gathers all that is
//! wrong instead of stopping at the first.

mod escalation;
mod footage;
mod inference;
mod places;
mod privacy;
mod retention;
mod secrets;

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::scene::{SceneFile, read_scene_file};
use super::{Camera, Config, Http, Input, Problem, Site, TlsFiles, file};
use crate::deliver::EndpointConfig;
use crate::id::{CameraId, EndpointId, SERVICE, SiteId};
use crate::scene::Scene;
use crate::source::rtsp::{CameraUrl, Credentials, Deadlines, RtspCamera, Transport};
use crate::store::{Hears, SessionLimits, Shelved};

/// The folder in the data directory of scenes whose cameras name no file of their own.
const DRAWN: &str = "scenes";

/// Returns the checked configuration. Fails with all its problems.
pub(super) fn config(file: file::File, text: &str, folder: &Path) -> Result<Config, Vec<Problem>> {
    let mut check = Check {
        text,
        folder,
        drawn: folder.join(&file.data_dir).join(DRAWN),
        problems: Vec::new(),
        advice: Vec::new(),
    };
    match check.config(file) {
        Some(config) if check.problems.is_empty() => Ok(config),
        _ => Err(check.problems),
    }
}

/// Turns the file into the configuration and gathers what is wrong on the way.
struct Check<'a> {
    text: &'a str,
    folder: &'a Path,
    /// Where the scenes are that were drawn for cameras whose configuration names none.
    drawn: PathBuf,
    problems: Vec<Problem>,
    /// What works and should be changed all the same.
    advice: Vec<Problem>,
}

impl Check<'_> {
    fn config(&mut self, file: file::File) -> Option<Config> {
        let http = self.http(&file.http);
        let retention = self.retention(&file.retention);
        let inference = self.inference(&file.inference);
        let footage = self.footage(&file);
        let privacy = self.privacy(&file.privacy);
        let sites: Vec<Site> = file
            .site
            .iter()
            .filter_map(|site| self.site(site))
            .collect();
        self.unique("site", file.site.iter().map(|site| &site.id));
        self.unique("camera", file.camera.iter().map(|camera| &camera.id));
        self.unique(
            "endpoint",
            file.endpoint.iter().map(|endpoint| &endpoint.id),
        );
        if file.camera.is_empty() {
            self.tell(
                None::<&Spanned<()>>,
                "no [[camera]] is configured: add one (see `plumb check --print-default`)",
            );
        }
        let cameras = file
            .camera
            .iter()
            .filter_map(|camera| self.camera(camera, &sites))
            .collect();
        let endpoints: Vec<_> = file
            .endpoint
            .iter()
            .filter_map(|endpoint| self.endpoint(endpoint, &sites))
            .collect();
        let steps = &file.escalation;
        self.unique("escalation", steps.iter().map(|step| &step.id));
        let escalations = steps
            .iter()
            .filter_map(|step| self.escalation(step, &sites, &endpoints))
            .collect();
        let inventory = self.inventory(&file, &sites);
        let recordings_dir = file.replay.recordings_dir.map(Spanned::into_inner);
        Some(Config {
            inventory,
            data_dir: self.folder.join(file.data_dir),
            http: http?,
            log: file.log.format,
            retention: retention?,
            footage: footage?,
            privacy: privacy?,
            models_dir: file.models.dir.map(|dir| self.folder.join(dir)),
            runtime: file.models.runtime.map(|path| self.folder.join(path)),
            inference: inference?,
            decode: file.decode,
            audit: file.audit,
            auth: file.auth,
            recordings_dir: recordings_dir.map(|dir| self.folder.join(dir)),
            sites,
            cameras,
            endpoints,
            escalations,
            advice: std::mem::take(&mut self.advice),
        })
    }

    fn http(&mut self, http: &file::Http) -> Option<Http> {
        let listen: SocketAddr = self.parsed(
            &http.listen,
            "http.listen is not an address and port such as 127.0.0.1:8480",
        )?;
        let public_url = match &http.public_url {
            Some(url) => Some(self.url(url, &["http", "https"])?),
            None => None,
        };
        let tls = self.tls(http)?;
        let is_proxied = public_url
            .as_ref()
            .is_some_and(|url| url.scheme() == "https");
        let is_tls = tls.is_some() || is_proxied;
        let was_allowed = self.old_consent(http);
        if !listen.ip().is_loopback() && !is_tls && !http.allow_plain_http && !was_allowed {
            self.tell(
                Some(&http.listen),
                format!("http.listen {listen} is open to the network, where passwords would travel unencrypted: \
                         listen on loopback, or give http.tls_certificate and http.tls_key, or put a proxy with TLS before it and give its address as \
                         http.public_url = \"https://…\", or set http.allow_plain_http = true"),
            );
        }
        Some(Http {
            listen,
            public_url,
            tls,
            proxies: self.proxies(&http.proxies)?,
            sessions: SessionLimits {
                idle: self.bounded(&http.session_idle_minutes, "session_idle_minutes", 1..=720)?
                    * 60,
                lifetime: self.bounded(&http.session_hours, "session_hours", 1..=24)? * 3600,
            },
        })
    }

    /// Returns the files of the certificate and its key; they go together.
    fn tls(&mut self, http: &file::Http) -> Option<Option<TlsFiles>> {
        match (&http.tls_certificate, &http.tls_key) {
            (None, None) => Some(None),
            (Some(certificate), Some(key)) => Some(Some(TlsFiles {
                certificate: self.folder.join(certificate.get_ref()),
                key: self.folder.join(key.get_ref()),
            })),
            (Some(one), None) | (None, Some(one)) => {
                self.tell(
                    Some(one),
                    "http.tls_certificate and http.tls_key go together: give both or none",
                );
                None
            }
        }
    }

    /// Returns whether an older configuration said that the open port is meant.
    fn old_consent(&mut self, http: &file::Http) -> bool {
        let Some(old) = &http.allow_unauthenticated else {
            return false;
        };
        let line = file::line_of(self.text, old.span().start);
        let message = "http.allow_unauthenticated means nothing any more: everybody signs in, and programs send a \
                       token (plumb token add). Remove the key; where the port is open to the network on purpose, \
                       say http.allow_plain_http = true instead";
        self.advice
            .push(Problem::new(Some(line), message.to_owned()));
        *old.get_ref()
    }

    fn proxies(&mut self, given: &[Spanned<String>]) -> Option<Vec<IpAddr>> {
        let problem = "http.proxies holds something that is not an address such as 192.0.2.7";
        let parsed = given.iter().map(|text| self.parsed(text, problem));
        parsed.collect()
    }

    /// Returns that many seconds, to be multiplied by the key's unit.
    fn bounded(
        &mut self,
        given: &Spanned<u64>,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Duration> {
        if !range.contains(given.get_ref()) {
            let (least, most) = (range.start(), range.end());
            self.tell(
                Some(given),
                format!("http.{key} is a number from {least} to {most}"),
            );
            return None;
        }
        Some(Duration::from_secs(*given.get_ref()))
    }

    fn site(&mut self, site: &file::Site) -> Option<Site> {
        let id: SiteId = self.id(&site.id)?;
        Some(Site {
            name: site.name.clone().unwrap_or_else(|| id.to_string()),
            id,
        })
    }

    fn camera(&mut self, camera: &file::Camera, sites: &[Site]) -> Option<Camera> {
        let id: CameraId = self.id(&camera.id)?;
        let site = self.known_site(&camera.site, sites);
        let input = self.input(&id, camera);
        let (scene_file, scene) = self.scene(&id, camera)?;
        Some(Camera {
            name: camera.name.clone().unwrap_or_else(|| id.to_string()),
            id,
            site: site?,
            building: camera.building().to_owned(),
            elevator: camera.elevator().to_owned(),
            place: camera.place(),
            kind: camera.kind,
            input: input?,
            scene: scene
                .as_ref()
                .map_or_else(Scene::default, |file| file.scene.clone()),
            scene_sha256: scene.as_ref().map(|file| file.sha256.clone()),
            scene_text: scene.map(|file| file.text),
            scene_file,
            footage: camera.footage,
        })
    }

    fn input(&mut self, id: &CameraId, camera: &file::Camera) -> Option<Input> {
        if let Some(path) = camera.url.get_ref().strip_prefix("file:") {
            return Some(Input::File(self.folder.join(path)));
        }
        let url = match CameraUrl::parse(camera.url.get_ref()) {
            Ok(url) => url,
            Err(error) => {
                self.tell(Some(&camera.url), format!("the camera's url {error}"));
                return None;
            }
        };
        if url.credentials().is_some() {
            self.tell(
                Some(&camera.url),
                "the URL holds a login: use username, and password_file or password_env",
            );
            return None;
        }
        let connect = self.seconds(camera.connect_timeout_s.as_ref(), "connect_timeout_s", 10.0);
        let stall = self.seconds(camera.stall_timeout_s.as_ref(), "stall_timeout_s", 5.0);
        let mut rtsp = RtspCamera::new(id.clone(), url);
        rtsp.credentials = match &camera.username {
            Some(username) => Some(self.credentials(camera, username)?),
            None => None,
        };
        rtsp.transport = match camera.transport {
            file::Transport::Tcp => Transport::Tcp,
            file::Transport::Udp => Transport::Udp,
        };
        rtsp.deadlines = Deadlines {
            connect: connect?,
            stall: stall?,
            ..Deadlines::default()
        };
        Some(Input::Rtsp(Box::new(rtsp)))
    }

    fn credentials(&mut self, camera: &file::Camera, username: &str) -> Option<Credentials> {
        let password = self.secret(
            &camera.url,
            "password",
            camera.password_file.as_ref(),
            camera.password_env.as_ref(),
        )?;
        let credentials = Credentials::new(username, &password);
        if let Err(error) = &credentials {
            self.tell(Some(&camera.url), format!("the camera's login {error}"));
        }
        credentials.ok()
    }

    /// Returns where the camera's scene is kept, and the scene; none where none is named or drawn.
    fn scene(
        &mut self,
        id: &CameraId,
        camera: &file::Camera,
    ) -> Option<(PathBuf, Option<SceneFile>)> {
        let (path, place) = match &camera.scene {
            Some(named) => (self.folder.join(named.get_ref()), named),
            None => {
                let drawn = self.drawn.join(format!("{id}.toml"));
                if !drawn.exists() {
                    return Some((drawn, None));
                }
                (drawn, &camera.id)
            }
        };
        let read = read_scene_file(&path).map_err(|error| error.to_string());
        let fits = read.and_then(|file| match file.scene.check_for(camera.kind) {
            Ok(()) => Ok(file),
            Err(error) => Err(format!("{}: {error}", path.display())),
        });
        match fits {
            Ok(file) => Some((path, Some(file))),
            Err(problem) => {
                self.tell(Some(place), problem);
                None
            }
        }
    }

    fn endpoint(&mut self, endpoint: &file::Endpoint, sites: &[Site]) -> Option<EndpointConfig> {
        let id: EndpointId = self.id(&endpoint.id)?;
        let url = self.url(&endpoint.url, &["http", "https"]);
        let secrets = self.secret(
            &endpoint.url,
            "secret",
            endpoint.secret_file.as_ref(),
            endpoint.secret_env.as_ref(),
        );
        let wanted: Vec<_> = endpoint
            .sites
            .iter()
            .map(|site| self.known_site(site, sites))
            .collect();
        let min_score = endpoint
            .min_score
            .as_ref()
            .map_or(0.0, |score| *score.get_ref());
        if !(0.0..=1.0).contains(&min_score) {
            self.tell(
                endpoint.min_score.as_ref(),
                format!("min_score {min_score} is not within 0 to 1"),
            );
        }
        let timeout = self.seconds(endpoint.timeout_s.as_ref(), "timeout_s", 10.0);
        let parsed = self.secrets(&endpoint.url, &secrets?);
        Some(EndpointConfig {
            id,
            url: url?,
            secrets: parsed?,
            kinds: endpoint.kinds.clone(),
            sites: wanted.into_iter().collect::<Option<_>>()?,
            min_score,
            hears: match endpoint.escalations_only {
                true => Hears::Escalations,
                false => Hears::Alarms,
            },
            shelved: match endpoint.shelved {
                true => Shelved::Sent,
                false => Shelved::Held,
            },
            timeout: timeout?,
        })
    }

    fn known_site(&mut self, site: &Spanned<String>, sites: &[Site]) -> Option<SiteId> {
        let found = sites
            .iter()
            .find(|known| known.id.as_str() == site.get_ref());
        if found.is_none() {
            self.tell(
                Some(site),
                format!("there is no [[site]] with id {:?}", site.get_ref()),
            );
        }
        found.map(|site| site.id.clone())
    }

    fn unique<'s>(&mut self, what: &str, ids: impl Iterator<Item = &'s Spanned<String>>) {
        let mut seen = HashSet::new();
        for id in ids {
            if !seen.insert(id.get_ref()) {
                self.tell(
                    Some(id),
                    format!(
                        "{what} id {:?} is used twice: each must be its own",
                        id.get_ref()
                    ),
                );
            }
        }
    }

    fn seconds(
        &mut self,
        value: Option<&Spanned<f64>>,
        key: &str,
        default: f64,
    ) -> Option<Duration> {
        let seconds = value.map_or(default, |value| *value.get_ref());
        if (1.0..=60.0).contains(&seconds) {
            return Some(Duration::from_secs_f64(seconds));
        }
        self.tell(
            value,
            format!("{key} = {seconds} is not within 1 to 60 seconds"),
        );
        None
    }

    fn url(&mut self, text: &Spanned<String>, schemes: &[&str]) -> Option<Url> {
        let url: Url = self.parsed(text, "this is not a URL")?;
        if schemes.contains(&url.scheme()) && url.host().is_some() {
            return Some(url);
        }
        self.tell(
            Some(text),
            format!(
                "the URL must begin with {}:// and name a host",
                schemes.join(":// or ")
            ),
        );
        None
    }

    fn id<T: std::str::FromStr<Err = crate::id::BadId>>(
        &mut self,
        text: &Spanned<String>,
    ) -> Option<T> {
        match text.get_ref().parse() {
            Ok(_) if text.get_ref() == SERVICE => {
                self.tell(
                    Some(text),
                    format!("the id {SERVICE:?} is Plumb's own: choose another"),
                );
                None
            }
            Ok(id) => Some(id),
            Err(error) => {
                self.tell(Some(text), error.to_string());
                None
            }
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self, text: &Spanned<String>, problem: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        match text.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.tell(Some(text), format!("{problem}: {error}"));
                None
            }
        }
    }

    fn tell<T>(&mut self, place: Option<&Spanned<T>>, message: impl Into<String>) {
        let line = place.map(|place| file::line_of(self.text, place.span().start));
        self.problems.push(Problem::new(line, message.into()));
    }
}
