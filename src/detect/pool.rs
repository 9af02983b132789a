//! A few things of one kind, each lent to one thread at a time, first come, first served.
//!
//! Made for a model's sessions: a second one is opened only when the first is in use, so that one
//! camera needs one. Who finds all lent waits for its turn; the wait is bounded by what those before
//! it need, one loan each. It must never lend one thing twice.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is lent, and who waits for it.
pub(super) struct Pool<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    idle: Vec<T>,
    /// Those that exist, idle or lent.
    opened: usize,
    most: usize,
    /// The longest waiting first; empty while one is idle. At most one entry a thread.
    waiting: VecDeque<SyncSender<T>>,
}

/// One of the pool's things, or the promise of the next.
enum Turn<T> {
    Idle(T),
    Wait(Receiver<T>),
}

impl<T> Pool<T> {
    /// Returns a pool that holds `first` and grows to `most`.
    pub(super) fn new(first: T, most: NonZeroUsize) -> Self {
        Self {
            state: Mutex::new(State {
                idle: vec![first],
                opened: 1,
                most: most.get(),
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Lends an idle one; else the one that `open` makes, while there may be more; else waits for
    /// the next that is given back and was promised to nobody before. Where `open` makes none the pool
    /// grows no further, and this waits.
    pub(super) fn borrow(&self, open: impl FnOnce() -> Option<T>) -> Lent<'_, T> {
        let turn = match self.turn() {
            Some(turn) => turn,
            None => match open() {
                Some(thing) => Turn::Idle(thing),
                None => self.turn_without_another(),
            },
        };
        let thing = match turn {
            Turn::Idle(thing) => thing,
            Turn::Wait(promised) => promised
                .recv()
                .expect("a promise stays in the queue until it is kept"),
        };
        Lent {
            pool: self,
            thing: Some(thing),
        }
    }

    /// Takes a turn; none where one more may be opened.
    fn turn(&self) -> Option<Turn<T>> {
        let mut state = self.lock();
        if let Some(thing) = state.idle.pop() {
            return Some(Turn::Idle(thing));
        }
        if state.opened < state.most {
            // Its place is taken before it is there: opening takes a while, and others must not wait for it here.
            state.opened += 1;
            return None;
        }
        Some(state.queue())
    }

    /// Gives back the place that was taken for one that could not be opened, and takes a turn.
    fn turn_without_another(&self) -> Turn<T> {
        let mut state = self.lock();
        state.opened -= 1;
        state.most = state.opened.max(1);
        match state.idle.pop() {
            Some(thing) => Turn::Idle(thing),
            None => state.queue(),
        }
    }

    fn give_back(&self, thing: T) {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            // Who waits holds the other end until it has got one.
            Some(next) => next.try_send(thing).unwrap_or(()),
            None => state.idle.push(thing),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing between locking and unlocking can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn queue(&mut self) -> Turn<T> {
        let (promise, promised) = sync_channel(1);
        self.waiting.push_back(promise);
        Turn::Wait(promised)
    }
}

/// One of the pool's things; dropping it gives it back.
pub(super) struct Lent<'p, T> {
    pool: &'p Pool<T>,
    thing: Option<T>,
}

const LENT: &str = "it is taken out only when it is given back";

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing.as_ref().expect(LENT)
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.thing.as_mut().expect(LENT)
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(thing) = self.thing.take() {
            self.pool.give_back(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(most: usize) -> Pool<u32> {
        Pool::new(0, NonZeroUsize::new(most).expect("at least one"))
    }

    fn never() -> Option<u32> {
        panic!("nothing more may be opened");
    }

    /// Waits until so many threads wait for their turn.
    fn until_waiting(pool: &Pool<u32>, count: usize) {
        while pool.lock().waiting.len() < count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_borrower_at_a_time_needs_one() {
        let pool = pool(4);
        for _ in 0..3 {
            assert_eq!(*pool.borrow(never), 0);
        }
    }

    #[test]
    fn opens_another_while_all_are_lent_and_never_more_than_it_may() {
        let pool = pool(2);
        let first = pool.borrow(never);
        let second = pool.borrow(|| Some(1));
        assert_eq!((*first, *second), (0, 1));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| *pool.borrow(never));
            until_waiting(&pool, 1);
            drop(second);
            assert_eq!(third.join().expect("it ends"), 1);
        });
        assert_eq!(pool.lock().idle, [1], "the first is still lent");
    }

    #[test]
    fn serves_in_the_order_of_waiting() {
        let (pool, served) = (pool(1), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let held = pool.borrow(never);
            for number in 0..8 {
                let (pool, served) = (&pool, &served);
                scope.spawn(move || {
                    let _turn = pool.borrow(never);
                    served.lock().expect("not poisoned").push(number);
                });
                until_waiting(pool, number + 1);
            }
            drop(held);
        });
        let served = served.into_inner().expect("not poisoned");
        assert_eq!(served, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_cannot_be_opened_is_done_without() {
        let pool = pool(3);
        std::thread::scope(|scope| {
            let held = pool.borrow(never);
            let waits = scope.spawn(|| *pool.borrow(|| None));
            until_waiting(&pool, 1);
            drop(held);
            assert_eq!(waits.join().expect("it ends"), 0);
        });
        let _held = pool.borrow(never);
        assert_eq!(pool.lock().most, 1, "it is not tried again");
    }

    #[test]
    fn a_borrower_that_panics_gives_back() {
        let pool = pool(1);
        std::thread::scope(|scope| {
            let failed = scope.spawn(|| {
                let _lent = pool.borrow(never);
                panic!("this thread dies on purpose");
            });
            assert!(failed.join().is_err());
        });
        assert_eq!(*pool.borrow(never), 0);
    }
}
