//! Tracks of large things that are looked at a few times a second: what overlaps the place where
//! a thing was last seen is that thing. Missed looks are bridged; small fast things belong in
//! `track::accelerating`. Pure.

use std::time::Duration;

use crate::clock::StreamTime;
use crate::geometry::BoxPx;

/// Things followed at once at most; the one unseen longest makes room. A car holds fewer.
const TRACKS_MAX: usize = 16;
/// Places kept of one track; when full, every second one goes, so that a machine left standing in
/// a car for a day keeps its whole way, only coarser.
const POINTS_MAX: usize = 512;
/// Least overlap (intersection over union) with the last place. Low: between two looks, 0.2 s, a
/// machine that is pushed moves up to half its length.
const IOU_MIN: f64 = 0.1;
/// Farthest the centre may have moved without overlap, in lengths of the thing.
const JUMP_MAX: f64 = 0.6;

/// Names a track; never used twice by one set of tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// One thing over time.
#[derive(Clone, Debug, PartialEq)]
pub struct OverlapTrack {
    pub id: TrackId,
    /// Where it was, from its first sight on; never empty.
    points: Vec<(StreamTime, BoxPx)>,
    last: (StreamTime, BoxPx),
}

impl OverlapTrack {
    /// Returns when it was first seen.
    pub fn first_at(&self) -> StreamTime {
        self.points.first().map_or(self.last.0, |point| point.0)
    }

    /// Returns when it was last seen.
    pub fn last_at(&self) -> StreamTime {
        self.last.0
    }

    /// Returns where it was last seen.
    pub fn area(&self) -> BoxPx {
        self.last.1
    }

    /// Returns where it was, from its first sight to its last, at most 512 places.
    pub fn points(&self) -> &[(StreamTime, BoxPx)] {
        &self.points
    }

    fn push(&mut self, at: StreamTime, area: BoxPx) {
        if self.points.len() == POINTS_MAX {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.points.push((at, area));
        self.last = (at, area);
    }
}

/// The things in view.
#[derive(Clone, Debug, Default)]
pub struct OverlapTracks {
    tracks: Vec<OverlapTrack>,
    next_id: u64,
}

impl OverlapTracks {
    /// Takes what is seen at `at`; returns the track of each area, in the areas' order.
    /// The nearest pairs are matched first; an area that fits no track begins one.
    pub fn update(&mut self, at: StreamTime, areas: &[BoxPx]) -> Vec<TrackId> {
        let mut pairs = Vec::new();
        for (area_index, area) in areas.iter().enumerate() {
            for (track_index, track) in self.tracks.iter().enumerate() {
                if let Some(nearness) = nearness(&track.area(), area) {
                    pairs.push((nearness, area_index, track_index));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut ids = vec![None; areas.len()];
        let mut taken = vec![false; self.tracks.len()];
        for (_, area_index, track_index) in pairs {
            if ids[area_index].is_none() && !taken[track_index] {
                taken[track_index] = true;
                let track = &mut self.tracks[track_index];
                track.push(at, areas[area_index]);
                ids[area_index] = Some(track.id);
            }
        }
        areas
            .iter()
            .zip(ids)
            .map(|(area, id)| id.unwrap_or_else(|| self.begin(at, *area)))
            .collect()
    }

    /// Returns a track that is still followed.
    pub fn get(&self, id: TrackId) -> Option<&OverlapTrack> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Returns everything followed, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &OverlapTrack> {
        self.tracks.iter()
    }

    /// Forgets what was last seen more than `unseen` before `at`, save those that `keep` names.
    pub fn expire(&mut self, at: StreamTime, unseen: Duration, keep: impl Fn(TrackId) -> bool) {
        self.tracks
            .retain(|track| track.last_at() + unseen >= at || keep(track.id));
    }

    /// Forgets one track: the same thing, seen again, begins another.
    pub fn forget(&mut self, id: TrackId) {
        self.tracks.retain(|track| track.id != id);
    }

    /// Forgets everything; ids go on.
    pub fn clear(&mut self) {
        self.tracks.clear();
    }

    fn begin(&mut self, at: StreamTime, area: BoxPx) -> TrackId {
        if self.tracks.len() == TRACKS_MAX {
            let oldest = self
                .tracks
                .iter()
                .enumerate()
                .min_by_key(|(_, t)| t.last_at());
            if let Some((index, _)) = oldest {
                self.tracks.remove(index);
            }
        }
        let id = TrackId(self.next_id);
        self.next_id += 1;
        self.tracks.push(OverlapTrack {
            id,
            points: vec![(at, area)],
            last: (at, area),
        });
        id
    }
}

/// Returns how well `area` continues `last`, the larger the better; none when it cannot.
fn nearness(last: &BoxPx, area: &BoxPx) -> Option<f64> {
    let iou = last.iou(area);
    if iou >= IOU_MIN {
        return Some(iou);
    }
    let length = f64::midpoint(
        last.width_px.max(last.height_px),
        area.width_px.max(area.height_px),
    );
    let jump = last.centre().distance(area.centre());
    let alike = (0.4..=2.5).contains(&(last.area_px2() / area.area_px2().max(1.0)));
    // Below any overlap that counts.
    (alike && jump <= JUMP_MAX * length).then(|| IOU_MIN * (1.0 - jump / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> StreamTime {
        StreamTime::from_secs_f64(seconds)
    }

    fn area(left: f64) -> BoxPx {
        BoxPx::from_corners(left, 0.0, left + 100.0, 200.0)
    }

    #[test]
    fn a_thing_keeps_its_track_while_it_moves_and_is_missed() {
        let mut tracks = OverlapTracks::default();
        let first = tracks.update(at(0.0), &[area(0.0)]);
        tracks.update(at(0.2), &[]);
        tracks.update(at(0.4), &[]);
        assert_eq!(tracks.update(at(0.6), &[area(70.0)]), first);
        let track = tracks.get(first[0]).expect("followed");
        assert_eq!(track.points().len(), 2);
        assert_eq!((track.first_at(), track.last_at()), (at(0.0), at(0.6)));
    }

    #[test]
    fn two_things_side_by_side_stay_two() {
        let mut tracks = OverlapTracks::default();
        let first = tracks.update(at(0.0), &[area(0.0), area(120.0)]);
        assert_ne!(first[0], first[1]);
        let swapped = tracks.update(at(0.2), &[area(125.0), area(5.0)]);
        assert_eq!(swapped, [first[1], first[0]]);
    }

    #[test]
    fn a_thing_far_away_is_another() {
        let mut tracks = OverlapTracks::default();
        let first = tracks.update(at(0.0), &[area(0.0)]);
        assert_ne!(tracks.update(at(0.2), &[area(800.0)]), first);
    }

    #[test]
    fn what_is_unseen_too_long_is_forgotten_unless_kept() {
        let mut tracks = OverlapTracks::default();
        let ids = tracks.update(at(0.0), &[area(0.0), area(500.0)]);
        tracks.expire(at(6.0), Duration::from_secs(5), |id| id == ids[0]);
        assert!(tracks.get(ids[0]).is_some() && tracks.get(ids[1]).is_none());
    }

    #[test]
    fn tracks_and_their_points_are_bounded() {
        let mut tracks = OverlapTracks::default();
        for step in 0..5000_u32 {
            tracks.update(at(f64::from(step) * 0.2), &[area(0.0)]);
        }
        let points = tracks.iter().next().expect("one").points();
        assert!(points.len() <= POINTS_MAX);
        assert_eq!(
            (points[0].0, points[points.len() - 1].0),
            (at(0.0), at(999.8))
        );
        let crowd: Vec<_> = (0..40).map(|n| area(f64::from(n) * 1000.0)).collect();
        tracks.update(at(1000.0), &crowd);
        assert!(tracks.iter().count() <= TRACKS_MAX);
    }
}
