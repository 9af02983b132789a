//! How strongly each block of the picture flickers when nothing falls, learnt while it runs.
//!
//! For every block the mean and the mean deviation of its largest difference are followed; what
//! exceeds them by far is motion. A block's threshold so keeps its rate of false pixels about
//! constant, on a wall as in a tree. Never lets a passing object teach it much: what it takes in
//! is clipped at its own threshold.

use crate::detect::wide::widest;

/// Time over which a block's flicker is remembered, seconds: long beside a fall (1 to 5 s in a
/// few blocks each), short beside a change of weather.
const MEMORY_S: f64 = 4.0;

/// Mean deviations above the mean at which a block counts as moving. A Gaussian's mean deviation
/// is 0.8 of its standard deviation: this is about 2.6 standard deviations of the maximum. Low on
/// purpose: faint things fall too, and what is false here finds no track.
const DEVIATIONS: f32 = 3.2;

/// Grey levels added to it: an encoder leaves blocks without any flicker for seconds, and then
/// steps by one or two.
const MARGIN: f32 = 2.5;

/// The flicker of all blocks of a picture: a mean and a mean deviation each.
#[derive(Debug, Default)]
pub(crate) struct NoiseMap {
    means: Vec<f32>,
    deviations: Vec<f32>,
    looks: u32,
}

#[inline(always)]
fn threshold(mean: f32, deviation: f32) -> f32 {
    mean + DEVIATIONS * deviation + MARGIN
}

impl NoiseMap {
    /// Returns a map of `blocks` blocks that has seen nothing.
    pub(crate) fn new(blocks: usize) -> Self {
        Self {
            means: vec![0.0; blocks],
            deviations: vec![0.0; blocks],
            looks: 0,
        }
    }

    /// Returns the difference above which a pixel of block `index` is motion, grey levels.
    pub(crate) fn threshold(&self, index: usize) -> f32 {
        threshold(self.means[index], self.deviations[index])
    }

    /// Returns the mean of the block's largest difference.
    pub(crate) fn mean(&self, index: usize) -> f32 {
        self.means[index]
    }

    /// Returns whether it has seen enough to judge by: a few pictures.
    pub(crate) fn is_settled(&self) -> bool {
        self.looks >= 4
    }

    /// Puts a 1 into `moving` for each block whose largest difference is motion, 0 for the others.
    pub(super) fn mark_moving(&self, maxima: &[u8], moving: &mut [u8]) {
        widest(|| {
            let blocks = self.means.iter().zip(&self.deviations);
            for ((moving, &maximum), (&mean, &deviation)) in
                moving.iter_mut().zip(maxima).zip(blocks)
            {
                *moving = u8::from(f32::from(maximum) > threshold(mean, deviation));
            }
        });
    }

    /// Takes in the largest difference of every block, `step_s` after the picture before.
    pub(crate) fn learn(&mut self, maxima: &[u8], step_s: f64) {
        self.looks = self.looks.saturating_add(1);
        // The plain average of the first pictures, then a fading memory.
        let steady = (step_s / MEMORY_S).clamp(0.001, 0.2);
        #[expect(clippy::cast_possible_truncation, reason = "a share of 1")]
        let share = steady.max(1.0 / f64::from(self.looks)) as f32;
        let blocks = self.means.iter_mut().zip(&mut self.deviations).zip(maxima);
        if self.looks == 1 {
            for ((mean, deviation), &maximum) in blocks {
                let maximum = f32::from(maximum);
                *mean = share * maximum;
                *deviation = share * maximum * 0.25;
            }
            return;
        }
        widest(|| {
            for ((mean, deviation), &maximum) in blocks {
                let taken = f32::from(maximum).min(threshold(*mean, *deviation));
                let away = (taken - *mean).abs();
                *mean += share * (taken - *mean);
                *deviation += share * (away - *deviation);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_object_hardly_raises_the_threshold() {
        let mut noise = NoiseMap::new(1);
        for look in 0..200_u8 {
            noise.learn(&[2 + look % 3], 0.04);
        }
        let quiet = noise.threshold(0);
        for _ in 0..3 {
            noise.learn(&[200], 0.04);
        }
        assert!(quiet < 12.0, "{quiet}");
        assert!(noise.threshold(0) < quiet + 4.0);
    }

    #[test]
    fn a_tree_gets_a_threshold_of_its_own() {
        let mut noise = NoiseMap::new(2);
        for look in 0..200_u32 {
            let leaf = [5, 40, 12, 25, 33][(look % 5) as usize];
            noise.learn(&[3, leaf], 0.04);
        }
        assert!(noise.threshold(0) < 10.0);
        assert!(noise.threshold(1) > 40.0);
    }
}
