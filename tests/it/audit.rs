//! The audit log: what is done to it behind the program's back shows.

use std::path::Path;
use std::sync::Arc;

use plumb::audit::{self, Algorithm, Checkpoint, Key, Signing};
use plumb::config::Config;
use plumb::store::inspect::{AuditFinding, AuditReport, inspect};
use plumb::store::{Actor, AuditOutcome, Store};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::store::clock;

const ROWS: i64 = 8;

/// A log of eight rows, its key, and a checkpoint of each row as it was written.
struct Log {
    folder: tempfile::TempDir,
    key: Key,
    checkpoints: Vec<Checkpoint>,
}

impl Log {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open_or_make(folder.path(), Signing::default()).expect("a key");
        let store = open(folder.path()).await;
        let mut checkpoints = Vec::new();
        for number in 1..=ROWS {
            let (who, object) = (Actor::account("li"), format!("alarm {number}"));
            let noted = store.note(&who, "evidence.seen", &object, AuditOutcome::Done, None);
            noted.await.expect("it is committed");
            let signed = store.checkpoint(&key).await.expect("readable");
            checkpoints.push(signed.expect("there are rows"));
        }
        store.close().await;
        Self {
            folder,
            key,
            checkpoints,
        }
    }

    /// Changes the database as somebody who may write the file, and puts the guards back.
    async fn tamper(&self, statements: &[&str]) {
        let mut shell = shell(self.folder.path()).await;
        let guards = sqlx::query(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit'",
        );
        let guards = guards.fetch_all(&mut shell).await.expect("readable");
        for guard in &guards {
            let drop = format!("DROP TRIGGER {}", guard.get::<String, _>("name"));
            run(&mut shell, &drop).await;
        }
        for statement in statements {
            run(&mut shell, statement).await;
        }
        for guard in &guards {
            run(&mut shell, &guard.get::<String, _>("sql")).await;
        }
    }

    async fn inspect(&self, checkpoints: &[Checkpoint]) -> AuditReport {
        let public = self.key.public();
        let known = [public];
        let report = inspect(self.folder.path(), checkpoints, &known);
        report.await.expect("it can be read")
    }

    /// Makes the digests of all rows from `first` on anew, as somebody who knows the chain.
    async fn chain_anew(&self, first: i64) {
        let mut shell = shell(self.folder.path()).await;
        let rows = sqlx::query("SELECT * FROM audit ORDER BY seq");
        let rows = rows.fetch_all(&mut shell).await.expect("readable");
        let mut statements = Vec::new();
        let mut previous = audit::GENESIS.to_owned();
        for row in &rows {
            let sha256 = audit::digest(
                Algorithm::Sha256,
                &previous,
                &audit::Row {
                    seq: row.get("seq"),
                    at_ms: row.get("at_ms"),
                    who: row.get("who"),
                    action: row.get("action"),
                    object: row.get("object"),
                    outcome: row.get("outcome"),
                    detail: row.get("detail"),
                },
            );
            let seq: i64 = row.get("seq");
            if seq >= first {
                statements.push(format!(
                    "UPDATE audit SET previous_sha256 = '{previous}', sha256 = '{sha256}' \
                     WHERE seq = {seq}"
                ));
            }
            previous = sha256;
        }
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.tamper(&statements).await;
    }
}

async fn open(folder: &Path) -> Store {
    let opened = Store::open(folder, Vec::new(), clock()).await;
    opened.expect("a store")
}

async fn shell(folder: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}", folder.join("plumb.sqlite").display());
    SqliteConnection::connect(&url)
        .await
        .expect("a second connection")
}

async fn run(shell: &mut SqliteConnection, sql: &str) {
    let ran = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(shell)
        .await;
    ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let log = Log::new().await;
    let report = log.inspect(&log.checkpoints).await;
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.rows, report.last_seq, report.checkpoints),
        (8, ROWS, 8)
    );
}

#[tokio::test]
async fn an_edited_row_is_named() {
    for change in [
        "UPDATE audit SET who = 'wang' WHERE seq = 3",
        "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 3",
        "UPDATE audit SET object = 'alarm 4' WHERE seq = 3",
        "UPDATE audit SET outcome = 'refused' WHERE seq = 3",
        "UPDATE audit SET detail = '' WHERE seq = 3",
    ] {
        let log = Log::new().await;
        log.tamper(&[change]).await;
        let findings = log.inspect(&[]).await.findings;
        let [AuditFinding::Edited { seq: 3, row }] = findings.as_slice() else {
            panic!("{change}: {findings:?}");
        };
        assert!(row.contains("evidence.seen"), "{row}");
    }
}

#[tokio::test]
async fn a_removed_row_is_named() {
    let log = Log::new().await;
    log.tamper(&["DELETE FROM audit WHERE seq IN (3, 4)"]).await;
    let findings = log.inspect(&[]).await.findings;
    assert_eq!(findings, [AuditFinding::Missing { first: 3, last: 4 }]);
    // Closing the gap does not hide it.
    log.tamper(&["UPDATE audit SET seq = seq - 2 WHERE seq > 4"])
        .await;
    let findings = log.inspect(&[]).await.findings;
    assert!(
        matches!(findings.first(), Some(AuditFinding::Edited { seq: 3, .. })),
        "{findings:?}"
    );
}

#[tokio::test]
async fn exchanged_rows_are_named() {
    let log = Log::new().await;
    log.tamper(&[
        "UPDATE audit SET seq = 100 WHERE seq = 3",
        "UPDATE audit SET seq = 3 WHERE seq = 4",
        "UPDATE audit SET seq = 4 WHERE seq = 100",
    ])
    .await;
    let findings = log.inspect(&[]).await.findings;
    let seqs: Vec<i64> = findings
        .iter()
        .filter_map(|finding| match finding {
            AuditFinding::Edited { seq, .. } => Some(*seq),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [3, 4], "{findings:?}");
}

#[tokio::test]
async fn a_row_that_was_put_in_is_named() {
    let log = Log::new().await;
    let row = "INSERT INTO audit (seq, at_ms, who, action, object, outcome) \
               VALUES (9, 0, 'li', 'alarm.closed', 'x', 'done')";
    log.tamper(&[row]).await;
    let findings = log.inspect(&[]).await.findings;
    assert!(
        matches!(
            findings.as_slice(),
            [AuditFinding::Unchained { seq: 9, .. }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_cut_tail_is_known_by_the_count_and_by_a_checkpoint() {
    let log = Log::new().await;
    log.tamper(&["DELETE FROM audit WHERE seq > 5"]).await;
    let findings = log.inspect(&[]).await.findings;
    assert!(
        matches!(
            findings.as_slice(),
            [AuditFinding::Cut {
                first: 6,
                last: 8,
                ..
            }]
        ),
        "{findings:?}"
    );
    log.tamper(&["UPDATE sqlite_sequence SET seq = 5 WHERE name = 'audit'"])
        .await;
    assert_eq!(log.inspect(&log.checkpoints[..5]).await.findings, []);
    let findings = log.inspect(&log.checkpoints[6..7]).await.findings;
    assert!(
        matches!(
            findings.as_slice(),
            [AuditFinding::Cut {
                first: 6,
                last: 7,
                ..
            }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_chain_that_was_made_anew_is_known_by_a_checkpoint_alone() {
    let log = Log::new().await;
    log.tamper(&["UPDATE audit SET who = 'wang' WHERE seq = 4"])
        .await;
    log.chain_anew(4).await;
    assert_eq!(log.inspect(&[]).await.findings, [], "it looks whole");
    let kept = [log.checkpoints[1].clone(), log.checkpoints[5].clone()];
    let findings = log.inspect(&kept).await.findings;
    assert!(
        matches!(
            findings.as_slice(),
            [AuditFinding::Rewritten {
                first: 3,
                last: 6,
                ..
            }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_checkpoint_of_another_service_or_of_nobody_proves_nothing() {
    let log = Log::new().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = Key::open_or_make(elsewhere.path(), Signing::default()).expect("a key");
    let known = &log.checkpoints[3];
    let foreign = other.sign(known.seq, &known.sha256, known.at_ms);
    let mut forged = known.clone();
    forged.seq = 7;
    let report = log.inspect(&[foreign, forged]).await;
    assert_eq!(
        report.findings,
        [
            AuditFinding::ForeignCheckpoint { seq: 4 },
            AuditFinding::BadCheckpoint { seq: 7 }
        ]
    );
    assert_eq!(report.checkpoints, 0);
}

#[tokio::test]
async fn a_guard_that_is_gone_is_named() {
    let log = Log::new().await;
    let mut shell = shell(log.folder.path()).await;
    run(&mut shell, "DROP TRIGGER audit_is_never_removed").await;
    let findings = log.inspect(&[]).await.findings;
    let trigger = "audit_is_never_removed".to_owned();
    assert_eq!(findings, [AuditFinding::TriggerGone { trigger }]);
}

#[tokio::test]
async fn rows_of_before_the_chain_are_covered_by_its_first() {
    let log = Log::new().await;
    log.tamper(&["UPDATE audit SET sha256 = NULL, previous_sha256 = NULL"])
        .await;
    let store = open(log.folder.path()).await;
    let last = store.audit_after(ROWS, 10).await.expect("readable");
    assert_eq!(last.len(), 1, "the upgrade is written down once");
    assert_eq!(last[0].action, "audit.chained");
    store.close().await;
    drop(store);
    open(log.folder.path()).await.close().await;
    let report = log.inspect(&[]).await;
    assert_eq!((report.findings, report.rows), (Vec::new(), 9));
    log.tamper(&["UPDATE audit SET who = 'wang' WHERE seq = 2"])
        .await;
    let findings = log.inspect(&[]).await.findings;
    assert!(
        matches!(
            findings.as_slice(),
            [AuditFinding::OutOfPlace { seq: 9, .. }]
        ),
        "{findings:?}"
    );
}

#[tokio::test]
async fn commands_at_once_make_one_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(folder.path()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0..5 {
                let who = Actor::account(&format!("account-{task}"));
                let object = number.to_string();
                let noted = store.note(&who, "evidence.seen", &object, AuditOutcome::Done, None);
                noted.await.expect("it is committed");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let report = inspect(folder.path(), &[], &[]).await.expect("readable");
    assert_eq!((report.findings, report.rows), (Vec::new(), 40));
}

/// Says with what the log goes on, and writes a row.
async fn go_on(log: &Log, algorithm: Algorithm, object: &str) {
    let store = open(log.folder.path()).await;
    let chained = store.chain_with(algorithm, &log.key).await;
    chained.expect("it is committed");
    let who = Actor::account("li");
    let noted = store.note(&who, "evidence.seen", object, AuditOutcome::Done, None);
    noted.await.expect("it is committed");
    store.close().await;
}

async fn digests(log: &Log) -> Vec<(String, String)> {
    let mut shell = shell(log.folder.path()).await;
    let rows = sqlx::query("SELECT action, sha256 FROM audit ORDER BY seq");
    let rows = rows.fetch_all(&mut shell).await.expect("readable");
    rows.iter()
        .map(|row| (row.get("action"), row.get("sha256")))
        .collect()
}

#[tokio::test]
async fn a_chain_goes_on_with_sm3_where_a_row_says_so() {
    let log = Log::new().await;
    go_on(&log, Algorithm::Sm3, "a").await;
    go_on(&log, Algorithm::Sm3, "b").await;
    let rows = digests(&log).await;
    let rows: Vec<_> = rows[8..]
        .iter()
        .map(|(action, digest)| (action.as_str(), digest.starts_with("sm3:")))
        .collect();
    assert_eq!(
        rows,
        [
            ("audit.digest", false),
            ("audit.key", true),
            ("evidence.seen", true),
            ("evidence.seen", true)
        ],
        "told once, by a row that is still of SHA-256"
    );
    go_on(&log, Algorithm::Sha256, "c").await;
    let report = log.inspect(&log.checkpoints).await;
    assert_eq!((report.findings, report.rows), (Vec::new(), 14));
    // An edit shows in the rows of SM3 as in the others.
    log.tamper(&["UPDATE audit SET object = 'z' WHERE seq = 12"])
        .await;
    let report = log.inspect(&log.checkpoints).await;
    let [AuditFinding::Edited { seq: 12, .. }] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
}

#[tokio::test]
async fn a_chain_never_changes_its_digest_silently() {
    let log = Log::new().await;
    // Somebody makes the last row anew with SM3, rightly chained, and no row has told of it.
    let mut shell = shell(log.folder.path()).await;
    let row = sqlx::query("SELECT * FROM audit WHERE seq = 8");
    let row = row.fetch_one(&mut shell).await.expect("readable");
    let previous: String = row.get("previous_sha256");
    let digest = audit::digest(
        Algorithm::Sm3,
        &previous,
        &audit::Row {
            seq: 8,
            at_ms: row.get("at_ms"),
            who: row.get("who"),
            action: row.get("action"),
            object: row.get("object"),
            outcome: row.get("outcome"),
            detail: row.get("detail"),
        },
    );
    log.tamper(&[&format!(
        "UPDATE audit SET sha256 = '{digest}' WHERE seq = 8"
    )])
    .await;
    let report = log.inspect(&[]).await;
    let [AuditFinding::AlgorithmChanged { seq: 8, .. }] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
}

#[tokio::test]
async fn checkpoints_of_both_keys_are_checked_and_a_foreign_one_is_found() {
    let log = Log::new().await;
    let sm2 = Key::open_or_make(log.folder.path(), Signing::Sm2).expect("a key");
    let store = open(log.folder.path()).await;
    let chained = store.chain_with(Algorithm::Sha256, &sm2).await;
    chained.expect("it is committed");
    let signed = store.checkpoint(&sm2).await.expect("readable");
    store.close().await;
    let signed = signed.expect("there are rows");
    assert_eq!(signed.format, "plumb-audit-checkpoint-1-sm2");
    let mut all = log.checkpoints.clone();
    all.push(signed.clone());
    let own = [log.key.public(), sm2.public()];
    let report = inspect(log.folder.path(), &all, &own).await;
    let report = report.expect("readable");
    assert_eq!((report.findings, report.checkpoints), (Vec::new(), 9));
    // Without its key it is somebody else's.
    let report = inspect(log.folder.path(), &all, &own[..1]).await;
    let findings = report.expect("readable").findings;
    assert_eq!(
        findings,
        [AuditFinding::ForeignCheckpoint { seq: signed.seq }]
    );
}

#[tokio::test]
async fn a_rule_that_was_changed_in_the_file_is_a_row_that_names_it() {
    let house = tempfile::tempdir().expect("a folder");
    let read = |more: &str| {
        let text = format!(
            "[[site]]\nid = \"s\"\n[[camera]]\nid = \"c\"\nsite = \"s\"\nkind = \"facade\"\n\
             url = \"file:x.mp4\"\n{more}"
        );
        let path = house.path().join("plumb.toml");
        std::fs::write(house.path().join("x.mp4"), "").expect("writable");
        std::fs::write(&path, text).expect("writable");
        Config::read(&path).expect("it is sound").policy()
    };
    let store = Store::open(house.path(), Vec::new(), crate::store::clock()).await;
    let store = store.expect("a store");
    let rows = async || {
        let all = store.audit_after(0, 100).await.expect("readable");
        let of = all
            .into_iter()
            .filter(|row| row.action.starts_with("policy."));
        let told = of.map(|row| (row.action, row.object, row.detail.unwrap_or_default()));
        told.collect::<Vec<_>>()
    };
    let first = read("");
    assert_eq!(
        store.note_policy(&first).await.expect("committed"),
        first.len()
    );
    let found = rows().await;
    assert_eq!((found.len(), found[0].0.as_str()), (1, "policy.found"));
    assert!(
        found[0].2.contains("retention.evidence_days = 90; "),
        "{}",
        found[0].2
    );
    // A start that finds the same says nothing.
    assert_eq!(store.note_policy(&read("")).await.expect("committed"), 0);
    let shorter = read("[retention]\nevidence_days = 7\n[privacy]\nsee_people = []\n");
    assert_eq!(store.note_policy(&shorter).await.expect("committed"), 2);
    let changed =
        |rule: &str, how: &str| ("policy.changed".to_owned(), rule.to_owned(), how.to_owned());
    assert_eq!(
        rows().await[1..],
        [
            changed("privacy.see_people", "operator, manager, auditor -> none"),
            changed("retention.evidence_days", "90 -> 7"),
        ]
    );
    let report = inspect(house.path(), &[], &[]).await.expect("readable");
    assert_eq!(report.findings, []);
}
