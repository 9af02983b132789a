//! Lists stay quick at a hundred thousand alarms.

use std::time::Duration;

use plumb::clock::{Clock, SystemClock};
use plumb::store::Store;

use crate::many;
use crate::store::clock;

const ALARMS: u32 = 100_000;
/// What a list may take. The quickest of some runs is compared: other programs slow down the rest.
const QUICK: Duration = Duration::from_millis(100);
const RUNS: usize = 8;

#[tokio::test]
async fn a_page_of_a_hundred_thousand_alarms_takes_less_than_a_tenth_of_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = Store::open(folder.path(), Vec::new(), clock()).await;
    let store = opened.expect("a store");
    many::fill(folder.path(), ALARMS).await;
    let watch = SystemClock::new();
    for (name, filter) in many::filters() {
        let mut quickest = Duration::MAX;
        for _ in 0..RUNS {
            let began = watch.monotonic();
            let page = store.alarms(&filter, None, 50).await.expect("readable");
            assert!(page.items.len() <= 50);
            quickest = quickest.min(watch.monotonic() - began);
        }
        assert!(quickest < QUICK, "{name}: {quickest:?}");
    }
    // A page in the middle costs no more than the first: nothing before it is counted.
    let filter = many::filters().remove(0).1;
    let mut after = None;
    for _ in 0..20 {
        let page = store.alarms(&filter, after, 500).await.expect("readable");
        after = page.next;
    }
    let began = watch.monotonic();
    let page = store.alarms(&filter, after, 50).await.expect("readable");
    let took = watch.monotonic() - began;
    assert_eq!(page.items.len(), 50);
    assert!(took < QUICK, "after 10,000: {took:?}");
    store.close().await;
}
