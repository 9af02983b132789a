//! Tries everything that the service needs: models, data directory, cameras, receivers. Changes
//! nothing; webhook endpoints get one signed test event each. `plumb check` prints what it finds, and
//! the console shows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::Detectors;
use crate::clock::Clock;
use crate::config::{Camera, Config, Input, Problem};
use crate::decode::{Decoder, Device, Hardware};
use crate::deliver::{self, Client, EndpointConfig};
use crate::detect::Inference;
use crate::http::{Bad, Checked, Checker, Finding, Well, Why};
use crate::source::file::{FileError, Recording};
use crate::source::rtsp;
use crate::source::{Packet, StreamInfo};
use crate::store::{Store, StoreError};

/// Packets after which a camera that gave no decodable picture is given up: two seconds at 50.
const PACKETS_MAX: usize = 100;

/// A page waits for an answer no longer than 30 s; a camera with longer deadlines is then late.
const PAGE_WAITS: Duration = Duration::from_secs(20);

/// What is to be tried.
#[derive(Debug)]
pub struct Checks {
    pub data_dir: PathBuf,
    /// None where no camera keeps footage.
    pub footage_dir: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
    pub models_dir: Option<PathBuf>,
    pub inference: Inference,
    pub hardware: Hardware,
    pub cameras: Vec<Camera>,
    pub endpoints: Vec<EndpointConfig>,
    /// What the configuration should say otherwise.
    pub advice: Vec<Problem>,
    pub clock: Arc<dyn Clock>,
}

impl Checks {
    /// Returns what this configuration names.
    pub fn of(config: &Config, clock: Arc<dyn Clock>) -> Self {
        Self {
            data_dir: config.data_dir.clone(),
            footage_dir: (config.cameras.iter().any(|camera| camera.footage))
                .then(|| config.footage.dir.clone()),
            runtime: config.runtime.clone(),
            models_dir: config.models_dir.clone(),
            inference: config.inference,
            hardware: config.decode.hardware,
            cameras: config.cameras.clone(),
            endpoints: config.endpoints.clone(),
            advice: config.advice.clone(),
            clock,
        }
    }

    /// Returns how many findings there will be, advice left out.
    pub fn count(&self) -> usize {
        let own = usize::from(self.has_engine()) + usize::from(self.footage_dir.is_some());
        2 + own + self.cameras.len() + self.endpoints.len()
    }

    /// Tries all of it, each thing no longer than `limit`; `step` is called when one more is done.
    pub async fn findings(
        &self,
        limit: Option<Duration>,
        step: &(dyn Fn() + Sync),
    ) -> Vec<Finding> {
        let found = |what, result| {
            step();
            Finding { what, result }
        };
        // All at once: a dead camera costs its deadline, not everyone's.
        let models = async { found(Checked::Models, within(limit, self.models()).await) };
        let data_dir = async { found(Checked::DataDir, within(limit, self.data_dir()).await) };
        let engine = async {
            if !self.has_engine() {
                return None;
            }
            Some(found(Checked::Decoding, within(limit, self.engine()).await))
        };
        let cameras = self.cameras.iter().map(|camera| async move {
            let looked = within(limit, look(camera, self.clock.as_ref())).await;
            found(Checked::Camera(camera.id.clone()), looked)
        });
        let client = Client::open(Arc::clone(&self.clock)).map_err(|error| chain(&error));
        let endpoints = self.endpoints.iter().map(|endpoint| {
            let client = &client;
            async move {
                let sent = within(limit, self.send_test(client, endpoint)).await;
                found(Checked::Endpoint(endpoint.id.clone()), sent)
            }
        });
        let (models, engine, data_dir, cameras, endpoints) = futures::join!(
            models,
            engine,
            data_dir,
            join_all(cameras),
            join_all(endpoints)
        );
        let footage = self.footage_dir.as_deref().map(footage_dir);
        let footage = footage.map(|result| found(Checked::Footage, result));
        let own = [Some(models), engine, Some(data_dir), footage];
        let own = own.into_iter().flatten();
        own.chain(cameras).chain(endpoints).collect()
    }

    async fn models(&self) -> Result<Well, Bad> {
        let (runtime, models_dir) = (self.runtime.clone(), self.models_dir.clone());
        let inference = self.inference;
        let load =
            move || Detectors::load_with(runtime.as_deref(), models_dir.as_deref(), inference);
        let loaded = tokio::task::spawn_blocking(load).await;
        let bad = |detail| bad(Why::Models, detail);
        let detectors = loaded
            .map_err(|error| bad(error.to_string()))?
            .map_err(|error| bad(chain(&error)))?;
        let digests = detectors.digests();
        let names = digests.iter().map(|model| model.name.clone());
        Ok(Well::Loaded {
            names: names.collect(),
            provider: inference.provider.to_string(),
            threads: inference.threads.get(),
        })
    }

    fn has_engine(&self) -> bool {
        self.hardware != Hardware::None
    }

    /// Opens the video engine; a camera's own frame is decoded by the processor.
    async fn engine(&self) -> Result<Well, Bad> {
        let hardware = self.hardware;
        let opened = tokio::task::spawn_blocking(move || Device::open(hardware)).await;
        let bad = |detail| bad(Why::Decoding, detail);
        opened
            .map_err(|error| bad(error.to_string()))?
            .map_err(|error| bad(chain(&error)))?;
        Ok(Well::Decodes {
            hardware: hardware.to_string(),
        })
    }

    async fn data_dir(&self) -> Result<Well, Bad> {
        match Store::open(&self.data_dir, Vec::new(), Arc::clone(&self.clock)).await {
            Ok(store) => {
                store.close().await;
                Ok(Well::Writable)
            }
            Err(StoreError::InUse { .. }) => Ok(Well::InUse),
            Err(error) => Err(bad(Why::DataDir, chain(&error))),
        }
    }

    async fn send_test(
        &self,
        client: &Result<Client, String>,
        endpoint: &EndpointConfig,
    ) -> Result<Well, Bad> {
        let sent = match client {
            Ok(client) => deliver::send_test(client, endpoint, self.clock.as_ref()).await,
            Err(error) => Err(error.clone()),
        };
        sent.map(Well::Answered)
            .map_err(|detail| bad(Why::Refused, detail))
    }
}

/// Asks whether footage can be written to the folder, or to the nearest one above it that is there.
fn footage_dir(dir: &Path) -> Result<Well, Bad> {
    let existing = dir.ancestors().find(|path| path.is_dir());
    let existing = existing.unwrap_or(Path::new("."));
    let rights = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    match rustix::fs::access(existing, rights) {
        Ok(()) => Ok(Well::FolderWritable),
        Err(error) => Err(bad(
            Why::Footage,
            format!(
                "{} cannot be written ({error}): make it this user's own, or name another folder as footage.dir",
                existing.display()
            ),
        )),
    }
}

impl Checker for Checks {
    fn check(self: Arc<Self>) -> BoxFuture<'static, Vec<Finding>> {
        let check = async move {
            let noted = self.advice.iter().map(|advice| Finding {
                what: Checked::Config {
                    line: advice.line.unwrap_or(1),
                },
                result: Ok(Well::Noted(advice.message.clone())),
            });
            let mut findings: Vec<Finding> = noted.collect();
            findings.extend(self.findings(Some(PAGE_WAITS), &|| {}).await);
            findings
        };
        check.boxed()
    }
}

async fn within(
    limit: Option<Duration>,
    tried: impl Future<Output = Result<Well, Bad>>,
) -> Result<Well, Bad> {
    let Some(limit) = limit else {
        return tried.await;
    };
    let late = |_| bad(Why::Late, format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, tried).await.map_err(late)?
}

/// Opens a camera and decodes one frame.
async fn look(camera: &Camera, clock: &dyn Clock) -> Result<Well, Bad> {
    let unreachable = |detail| bad(Why::Unreachable, detail);
    let (info, packets) = match &camera.input {
        Input::Rtsp(camera) => {
            let probe = rtsp::probe(camera, clock).await;
            let probe = probe.map_err(|error| unreachable(chain(&error)))?;
            (probe.info, vec![probe.first])
        }
        Input::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || first_packets(&path)).await;
            read.map_err(|error| unreachable(error.to_string()))?
                .map_err(|error| unreachable(chain(&error)))?
        }
    };
    let decoded = tokio::task::spawn_blocking(move || decode(&info, &packets)).await;
    decoded
        .map_err(|error| error.to_string())
        .flatten()
        .map_err(|detail| bad(Why::NoPicture, detail))
}

fn first_packets(path: &Path) -> Result<(Arc<StreamInfo>, Vec<Packet>), FileError> {
    let mut recording = Recording::open(path)?;
    let mut packets = Vec::new();
    while let Some(packet) = recording.next_packet()? {
        packets.push(packet);
        if packets.len() == PACKETS_MAX {
            break;
        }
    }
    Ok((Arc::clone(recording.info()), packets))
}

fn decode(info: &StreamInfo, packets: &[Packet]) -> Result<Well, String> {
    let mut decoder = Decoder::open(info).map_err(|error| chain(&error))?;
    let mut first = None;
    let mut take = |frame: crate::decode::Frame| {
        first.get_or_insert((frame.width_px(), frame.height_px()));
    };
    for packet in packets {
        decoder.push(packet, &mut take);
    }
    decoder.finish(&mut take);
    match first {
        Some((width_px, height_px)) => Ok(Well::Picture {
            codec: format!("{:?}", info.codec),
            width_px,
            height_px,
        }),
        None => Err("the stream could be opened, but no frame could be decoded from it".to_owned()),
    }
}

fn bad(why: Why, detail: String) -> Bad {
    Bad { why, detail }
}

/// Returns an error with its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
