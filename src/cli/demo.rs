//! `plumb demo`: the whole of it on one machine. GStreamer's RTSP server plays the fixtures as three
//! cameras, the service watches them, and a receiver with a signature check of its own takes the
//! webhooks. Ends with what was expected and what arrived.

mod peers;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use self::peers::{Delivery, Peer};
use self::table::Row;
use super::fixtures::{self, Fixture};
use super::output::Output;
use crate::auth::{Role, Roles, password};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::id::AccountId;
use crate::pipeline::service::Service;
use crate::store::{Actor, PasswordKind, Store};

/// The demo's cameras: id, name, place, fixture.
const CAMERAS: [(&str, &str, &str, &str); 3] = [
    (
        "tower-3",
        "Tower 3 by day, H.264",
        "Tower 3",
        "facade_day_fall",
    ),
    (
        "tower-5",
        "Tower 5 at dusk, H.265",
        "Tower 5",
        "facade_dusk_fall",
    ),
    ("lift-2", "Lift 2", "Lift 2", "elevator_ebike_ride"),
];

/// The account that may look at the demo's alarms.
const OPERATOR: &str = "operator";

/// Beyond the longest clip's end, how long the last alarm and its evidence may take.
const GRACE: Duration = Duration::from_secs(25);

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the fixtures; beside the program or above it when left out.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Where the demo keeps its database and its evidence; emptied first.
    #[arg(long, value_name = "DIR", default_value = ".plumb/demo")]
    data_dir: PathBuf,
    /// Go on after the table, to look at the console, until Ctrl-C.
    #[arg(long)]
    stay: bool,
}

/// Runs the command. Fails when a part cannot be started.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(demo(args))
}

async fn demo(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = Output::stdout();
    let folder = fixtures::folder(args.fixtures.as_deref())?;
    let mut rows = CAMERAS
        .iter()
        .map(|(id, name, _, fixture)| Ok(Row::new(id, name, fixtures::read(&folder, fixture)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    empty(&args.data_dir)?;

    let mut cameras =
        Peer::cameras(&folder, rows.iter().map(|row| (row.camera, &row.fixture))).await?;
    let secret = peers::new_secret();
    let mut receiver = Peer::receiver(&folder, &secret).await?;
    let config = write_config(&args.data_dir, &rows, cameras.port, receiver.port, &secret)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = Config::read(&config)?;
    let password = add_operator(&config, &clock).await?;
    let service = Service::start(config, Arc::clone(&clock)).await?;
    for row in &rows {
        out.line(&format!(
            "camera {:8} rtsp://127.0.0.1:{}/{}  {}",
            row.camera, cameras.port, row.camera, row.fixture.truth.description
        ))?;
    }
    out.line(&format!(
        "console         http://{}/  (account {OPERATOR}, password {password})",
        service.address()
    ))?;
    out.line(&format!(
        "receiver        http://127.0.0.1:{}/  (checks each signature)\n",
        receiver.port
    ))?;
    out.flush()?;

    let longest_s = rows
        .iter()
        .map(|row| row.fixture.truth.duration_s)
        .fold(0.0, f64::max);
    let deadline = Duration::from_secs_f64(longest_s) + GRACE;
    let watched = tokio::time::timeout(deadline, watch(&mut receiver, &mut rows, &mut out)).await;
    if let Ok(failed) = watched {
        failed?;
    }
    table::print(&rows, &mut out)?;
    if args.stay {
        out.line("\nThe cameras play on; Ctrl-C ends the demo.")?;
        out.flush()?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            // Its output must be taken, or it stands still.
            _ = async { while receiver.next_line().await.is_ok() {} } => {}
        }
    }
    service.stop().await;
    cameras.stop().await;
    receiver.stop().await;
    out.line(&format!(
        "\nevidence and database: {}",
        args.data_dir.display()
    ))?;
    out.flush()?;
    let all = rows.iter().all(Row::is_complete);
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints each webhook as it arrives, until every expected alarm is there with its evidence.
async fn watch(receiver: &mut Peer, rows: &mut [Row], out: &mut Output) -> anyhow::Result<()> {
    while !rows.iter().all(Row::is_complete) {
        let line = receiver.next_line().await?;
        let delivery: Delivery =
            serde_json::from_str(&line).context("the receiver's line is not as expected")?;
        out.line(&delivery.sentence())?;
        out.flush()?;
        if let Some(row) = rows.iter_mut().find(|row| delivery.is_of(row.camera)) {
            row.take(&delivery);
        }
    }
    Ok(())
}

/// Makes an operator's account, so that there is somebody who may look at alarms, and returns its
/// password. A real first start makes only the account admin.
async fn add_operator(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<String> {
    let store = Store::open(&config.data_dir, Vec::new(), Arc::clone(clock)).await?;
    let (name, who) = (AccountId::parse(OPERATOR)?, Actor::command_line());
    let password = password::one_time();
    let hash = password::hash(&password);
    let roles = Roles::only(Role::Operator);
    store.add_account(&name, &roles, &hash, &who).await?;
    let own = store.set_password(&name, &hash, PasswordKind::Own, &who);
    own.await?;
    store.close().await;
    Ok(password)
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Writes the demo's configuration as a user would, and returns its path.
fn write_config(
    folder: &Path,
    rows: &[Row],
    rtsp_port: u16,
    receiver_port: u16,
    secret: &str,
) -> anyhow::Result<PathBuf> {
    let mut text = String::from(
        "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[site]]\nid = \"demo\"\nname = \"Demo Garden\"\n",
    );
    for (row, (_, name, place, _)) in rows.iter().zip(CAMERAS) {
        // A copy: whoever draws on the running demo changes its scene, not the fixture's.
        let scene = format!("{}.scene.toml", row.camera);
        std::fs::copy(&row.fixture.scene, folder.join(&scene))
            .with_context(|| format!("cannot copy {}", row.fixture.scene.display()))?;
        text += &format!(
            "[[camera]]\nid = \"{}\"\nname = \"{name}\"\nsite = \"demo\"\nplace = \"{place}\"\nkind = \"{}\"\n\
             url = \"rtsp://127.0.0.1:{rtsp_port}/{}\"\nscene = \"{scene}\"\nfootage = true\n",
            row.camera, row.fixture.truth.kind, row.camera,
        );
    }
    text += &format!(
        "[[endpoint]]\nid = \"receiver\"\nurl = \"http://127.0.0.1:{receiver_port}/\"\nsecret_file = \"receiver.secret\"\n"
    );
    std::fs::write(folder.join("receiver.secret"), secret)?;
    let path = folder.join("plumb.toml");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

impl Row {
    fn new(camera: &'static str, name: &'static str, fixture: Fixture) -> Self {
        Self {
            camera,
            name,
            fixture,
            arrived: Vec::new(),
        }
    }
}
