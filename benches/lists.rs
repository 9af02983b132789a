//! Lists over a hundred thousand alarms: what a page and the API ask of the store. The console must
//! stay quick after years; `tests/it/lists.rs` holds the bound.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use plumb::clock::SystemClock;
use plumb::store::{AuditFilter, Store};

#[path = "../tests/it/many.rs"]
mod many;

const ALARMS: u32 = 100_000;

fn lists(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = runtime.block_on(async {
        let opened = Store::open(folder.path(), Vec::new(), Arc::new(SystemClock::new()));
        let store = opened.await.expect("a store");
        many::fill(folder.path(), ALARMS).await;
        store
    });
    for (name, filter) in many::filters() {
        c.bench_function(&format!("alarms: {name}"), |b| {
            b.iter(|| {
                let page = runtime.block_on(store.alarms(&filter, None, 50));
                black_box(page.expect("readable"))
            });
        });
    }
    c.bench_function("audit: newest", |b| {
        b.iter(|| {
            let page = runtime.block_on(store.audit_page(&AuditFilter::default(), 100));
            black_box(page.expect("readable"))
        });
    });
}

criterion_group!(benches, lists);
criterion_main!(benches);
