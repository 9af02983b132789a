//! `plumb check`: tries everything that `plumb run` will need, and says per line what is wrong and
//! what to do. Changes nothing; webhook endpoints get one signed test event each.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::output::{self, Output, UsageError};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Camera, Config, Input};
use crate::decode::Decoder;
use crate::deliver;
use crate::detect::Inference;
use crate::pipeline::Detectors;
use crate::source::file::Recording;
use crate::source::rtsp;
use crate::source::{Packet, StreamInfo};
use crate::store::Store;

/// Packets after which a camera that gave no decodable picture is given up: two seconds at 50.
const PACKETS_MAX: usize = 100;

#[derive(clap::Args)]
pub struct Args {
    /// The configuration to check.
    #[arg(long, value_name = "FILE", default_value = "plumb.toml")]
    config: PathBuf,
    /// Print the documented default configuration instead, to begin with.
    #[arg(long)]
    print_default: bool,
}

/// Runs the command. Fails, as wrong usage, when the configuration cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    if args.print_default {
        out.line(config::DEFAULT.trim_end())?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(&args.config).map_err(|error| UsageError(error.to_string()))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let advice = config.advice.clone();
    let findings = runtime.block_on(findings(config));
    let mut failed = 0;
    out.line(&format!("ok    config {}", args.config.display()))?;
    for advice in &advice {
        let line = advice.line.unwrap_or(1);
        out.line(&format!("note  config line {line}: {}", advice.message))?;
    }
    for finding in &findings {
        failed += usize::from(finding.result.is_err());
        out.line(&finding.line())?;
    }
    out.line(&format!("{} checked, {failed} failed", findings.len() + 1))?;
    out.flush()?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What one check found: a sentence either way.
struct Finding {
    what: String,
    result: Result<String, String>,
}

impl Finding {
    fn line(&self) -> String {
        match &self.result {
            Ok(text) => format!("ok    {}: {text}", self.what),
            Err(text) => format!("FAIL  {}: {text}", self.what),
        }
    }
}

async fn findings(config: Config) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let bar = output::progress(
        config.cameras.len() as u64 + config.endpoints.len() as u64 + 2,
        "check",
    );
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    let mut findings = vec![models(&config), data_dir(&config, &clock).await];
    bar.inc(2);
    // All at once: a dead camera costs its deadline, not everyone's.
    let cameras = config.cameras.iter().map(|camera| async {
        let finding = Finding {
            what: format!("camera {}", camera.id),
            result: look(camera, &clock).await,
        };
        bar.inc(1);
        finding
    });
    findings.extend(futures::future::join_all(cameras).await);
    let client = deliver::Client::open(Arc::clone(&clock));
    let endpoints = config.endpoints.iter().map(|endpoint| async {
        let result = match &client {
            Ok(client) => deliver::send_test(client, endpoint, clock.as_ref()).await,
            Err(error) => Err(chain(error)),
        };
        bar.inc(1);
        Finding {
            what: format!("endpoint {}", endpoint.id),
            result,
        }
    });
    findings.extend(futures::future::join_all(endpoints).await);
    bar.finish_and_clear();
    findings
}

fn models(config: &Config) -> Finding {
    let (runtime, models_dir) = (config.runtime.as_deref(), config.models_dir.as_deref());
    let Inference { provider, threads } = config.inference;
    let result = Detectors::load_with(runtime, models_dir, config.inference)
        .map(|detectors| {
            let names: Vec<_> = detectors
                .digests()
                .iter()
                .map(|model| model.name.clone())
                .collect();
            format!(
                "{} loaded, digests as stated; computed on {provider}, up to {threads} at a time each",
                names.join(", ")
            )
        })
        .map_err(|error| chain(&error));
    Finding {
        what: "models".to_owned(),
        result,
    }
}

async fn data_dir(config: &Config, clock: &Arc<dyn Clock>) -> Finding {
    let result = match Store::open(&config.data_dir, Vec::new(), Arc::clone(clock)).await {
        Ok(store) => {
            store.close().await;
            Ok("writable, the database is sound".to_owned())
        }
        Err(crate::store::StoreError::InUse { .. }) => Ok("in use by a running service".to_owned()),
        Err(error) => Err(chain(&error)),
    };
    Finding {
        what: format!("data_dir {}", config.data_dir.display()),
        result,
    }
}

/// Opens a camera and decodes one frame.
async fn look(camera: &Camera, clock: &Arc<dyn Clock>) -> Result<String, String> {
    let (info, packets) = match &camera.input {
        Input::Rtsp(camera) => {
            let probe = rtsp::probe(camera, clock.as_ref())
                .await
                .map_err(|error| chain(&error))?;
            (probe.info, vec![probe.first])
        }
        Input::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || first_packets(&path));
            read.await
                .map_err(|error| error.to_string())?
                .map_err(|error| chain(&error))?
        }
    };
    let decoded = tokio::task::spawn_blocking(move || decode(&info, &packets));
    decoded.await.map_err(|error| error.to_string())?
}

fn first_packets(
    path: &std::path::Path,
) -> Result<(Arc<StreamInfo>, Vec<Packet>), crate::source::file::FileError> {
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

fn decode(info: &StreamInfo, packets: &[Packet]) -> Result<String, String> {
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
        Some((width, height)) => Ok(format!(
            "{:?} {width}x{height}, a frame was decoded",
            info.codec
        )),
        None => Err("the stream could be opened, but no frame could be decoded from it".to_owned()),
    }
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
