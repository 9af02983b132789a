//! How many frames a second a stream shows, by its own time.

use crate::clock::StreamTime;

/// Frames a second over the last two seconds of a stream's own time.
#[derive(Debug, Default)]
pub(super) struct Rate {
    since: Option<StreamTime>,
    frames: u32,
    fps: f64,
}

impl Rate {
    const WINDOW_S: f64 = 2.0;

    /// Counts a frame; returns the rate so far, 0 in the first two seconds.
    pub(super) fn count(&mut self, at: StreamTime) -> f64 {
        let since = *self.since.get_or_insert(at);
        let elapsed_s = at.secs_since(since);
        if elapsed_s >= Self::WINDOW_S {
            self.fps = f64::from(self.frames) / elapsed_s;
            (self.since, self.frames) = (Some(at), 0);
        }
        self.frames += 1;
        self.fps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_that_of_the_stream_not_of_the_machine() {
        let mut rate = Rate::default();
        let fps = (0..100)
            .map(|n| rate.count(StreamTime::from_micros(n * 40_000)))
            .last();
        assert!((fps.expect("100 frames") - 25.0).abs() < 0.1);
    }
}
