//! Opens the store: the data directory and its lock, the connections, the tables.
//!
//! It must never open a file that a newer Plumb wrote, nor one that another process writes.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio::sync::watch;

use super::error::Fault;
use super::steady::Watch;
use super::{Durability, Inner, Route, Store, StoreError};
use crate::clock::Clock;

/// The database's file name in the data directory.
pub(super) const DATABASE: &str = "plumb.sqlite";
/// The file whose lock keeps a second service out.
const LOCK: &str = "plumb.lock";

/// Reading connections: the API's requests share them and take turns beyond that.
const READERS_MAX: u32 = 4;
/// Waits for a turn at a connection no longer than this. A commit takes milliseconds, so this is
/// only reached when the disk has stopped answering.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Waits this long for a lock that a foreign program (a backup, a shell) holds. Short: the alarm
/// goes out without the disk after it.
const FOREIGN_LOCK_MAX: Duration = Duration::from_secs(2);
/// The log file is cut back to this size at a checkpoint.
const LOG_SIZE_BYTES_MAX: u32 = 64 << 20;
/// The volatile store's bound: pages of 4096 bytes, so 64 MiB, thousands of alarms.
const VOLATILE_PAGES_MAX: u32 = 16_384;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

impl Store {
    /// Opens the store in `data_dir`, making both where there are none. `routes` are the endpoints
    /// of the configuration.
    ///
    /// Fails when another Plumb has it open, when the folder or the file cannot be written, or
    /// when the file is damaged or from a newer version; the error says which and what to do.
    pub async fn open(
        data_dir: &Path,
        routes: Vec<Route>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let unwritable = |source| StoreError::Unwritable {
            path: data_dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(data_dir).map_err(unwritable)?;
        shut_out_others(data_dir);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(data_dir.join(LOCK))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: data_dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        let path = data_dir.join(DATABASE);
        let shared = options(SqliteConnectOptions::new().filename(&path));
        let writing = shared
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", LOG_SIZE_BYTES_MAX.to_string());
        let writer = connect(writing, 1)
            .await
            .map_err(|source| StoreError::of_sql(&path, source))?;
        migrate(&writer, &path).await?;
        let readers = connect(shared.read_only(true), READERS_MAX)
            .await
            .map_err(|source| StoreError::of_sql(&path, source))?;
        let pools = Pools {
            writer,
            readers,
            keeper: None,
        };
        let steady = Arc::new(Watch::new(clock.as_ref()));
        let around = Around {
            routes,
            clock,
            steady,
        };
        let store = Self::start(pools, path, Durability::Disk, around, Some(lock)).await?;
        let read = store.read_steady().await;
        store.named(read)?;
        Ok(store)
    }

    /// Opens the store for accounts and tokens, also beside a running service: SQLite lets one of
    /// both write at a time, and each command is one short transaction, so that neither waits longer
    /// than a commit. Makes and mends nothing.
    ///
    /// Fails when there is no database yet, or when another version of Plumb has written it.
    pub async fn open_beside(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = data_dir.join(DATABASE);
        if !path.exists() {
            // Nobody's yet: it is made as by the first start.
            return Self::open(data_dir, Vec::new(), clock).await;
        }
        let named = |source| StoreError::of_sql(&path, source);
        let shared = options(SqliteConnectOptions::new().filename(&path));
        let writing = shared.clone().synchronous(SqliteSynchronous::Full);
        let writer = connect(writing, 1).await.map_err(named)?;
        if !is_current(&writer).await.map_err(named)? {
            // Not while a service has it open.
            writer.close().await;
            return Self::open(data_dir, Vec::new(), clock).await;
        }
        let readers = connect(shared.read_only(true), READERS_MAX);
        let readers = readers.await.map_err(named)?;
        let store = Self(Arc::new(Inner {
            path,
            durability: Durability::Disk,
            writer,
            readers,
            keeper: None,
            routes: Vec::new(),
            steady: Arc::new(Watch::new(clock.as_ref())),
            clock,
            names: super::name::Names::default(),
            newest: watch::Sender::new(0),
            oldest: AtomicI64::new(0),
            outbox: watch::Sender::new(0),
            _lock: None,
        }));
        let read = store.read_steady().await;
        store.named(read)?;
        Ok(store)
    }

    /// Opens an empty store in memory, for the time in which the disk takes nothing. What it
    /// holds is bounded (64 MiB) and lost with the process.
    pub async fn open_volatile(
        routes: Vec<Route>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let steady = Arc::new(Watch::new(clock.as_ref()));
        Self::in_memory(Around {
            routes,
            clock,
            steady,
        })
        .await
    }

    /// Opens an empty store in memory ([`Store::open_volatile`]) from which alarms can move into this
    /// one: both count ages alike.
    pub async fn open_volatile_beside(&self) -> Result<Self, StoreError> {
        Self::in_memory(Around {
            routes: self.0.routes.clone(),
            clock: Arc::clone(&self.0.clock),
            steady: Arc::clone(&self.0.steady),
        })
        .await
    }

    async fn in_memory(around: Around) -> Result<Self, StoreError> {
        let path = PathBuf::from("the store in memory");
        let named = |source| StoreError::of_sql(&path, source);
        // Its own name each time; connections with the same options share one database.
        let memory = "sqlite::memory:".parse().map_err(named)?;
        let memory = options(memory).pragma("max_page_count", VOLATILE_PAGES_MAX.to_string());
        let keeper = Some(connect(memory.clone(), 1).await.map_err(named)?);
        // One connection for reads and writes: they take turns instead of meeting table locks.
        let writer = connect(memory, 1).await.map_err(named)?;
        migrate(&writer, &path).await?;
        let pools = Pools {
            readers: writer.clone(),
            writer,
            keeper,
        };
        Self::start(pools, path, Durability::Volatile, around, None).await
    }

    async fn start(
        pools: Pools,
        path: PathBuf,
        durability: Durability,
        around: Around,
        lock: Option<File>,
    ) -> Result<Self, StoreError> {
        let store = Self(Arc::new(Inner {
            path,
            durability,
            writer: pools.writer,
            readers: pools.readers,
            keeper: pools.keeper,
            routes: around.routes,
            steady: around.steady,
            clock: around.clock,
            names: super::name::Names::default(),
            newest: watch::Sender::new(0),
            oldest: AtomicI64::new(0),
            outbox: watch::Sender::new(0),
            _lock: lock,
        }));
        let newest = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM event")
            .fetch_one(&store.0.readers)
            .await
            .map_err(Fault::from);
        store.0.newest.send_replace(store.named(newest)?);
        let oldest = store.read_oldest().await;
        store.named(oldest)?;
        let synced = store.sync_endpoints().await;
        store.named(synced)?;
        let named = store.read_names().await;
        store.named(named)?;
        let chained = store.begin_chain().await;
        store.named(chained)?;
        Ok(store)
    }
}

/// Takes a data directory away from the machine's other users: what lies in it was made by versions
/// that left that to the umask. A group stays as its owner has set it, for backups.
fn shut_out_others(data_dir: &Path) {
    const OTHERS: u32 = 0o007;
    let shut = std::fs::metadata(data_dir).and_then(|found| {
        let mode = found.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        std::fs::set_permissions(data_dir, Permissions::from_mode(mode & !OTHERS))
    });
    if let Err(error) = shut {
        tracing::warn!(path = %data_dir.display(), %error, "other users of this machine may read the data directory: chmod 700");
    }
}

/// What a store is opened with.
struct Around {
    routes: Vec<Route>,
    clock: Arc<dyn Clock>,
    steady: Arc<Watch>,
}

struct Pools {
    writer: SqlitePool,
    readers: SqlitePool,
    keeper: Option<SqlitePool>,
}

fn options(to: SqliteConnectOptions) -> SqliteConnectOptions {
    to.foreign_keys(true)
        .busy_timeout(FOREIGN_LOCK_MAX)
        // A sort must not need room on a full disk.
        .pragma("temp_store", "MEMORY")
        // So that a row that REPLACE removes meets the triggers too.
        .pragma("recursive_triggers", "ON")
}

async fn connect(to: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN_MAX)
        // Connections live as long as the store: in memory they are the store.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_usable(connection)))
        .connect_with(to)
        .await
}

/// Returns whether the connection may be used again; else the pool opens another one. When a
/// statement fails for want of room, SQLite ends the transaction by itself; sqlx's ROLLBACK then
/// fails, and it goes on counting a transaction that is none: it would refuse every later BEGIN,
/// also when there is room again.
async fn is_usable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Waits for the ROLLBACK that a dropped transaction has left in the connection's queue.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Returns whether the tables are those of this version.
async fn is_current(writer: &SqlitePool) -> Result<bool, sqlx::Error> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(writer)
            .await?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max();
    Ok(newest.is_some() && newest == known)
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    MIGRATIONS.run(writer).await.map_err(|error| {
        let path = path.to_owned();
        match error {
            MigrateError::VersionMissing(found) if found > known => {
                StoreError::Newer { path, found, known }
            }
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                StoreError::of_sql(&path, source)
            }
            source => StoreError::Migrate { path, source },
        }
    })
}
