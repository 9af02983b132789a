//! From a detector's raw output to boxes: distance bins, non-maximum suppression, and the mean of what
//! was suppressed. Pure.
//!
//! The output's layout is NanoDet-Plus's: a row a prior, class scores (0..1) first, then four times
//! `bins` values whose softmax is the distribution of the distance to the left, top, right and
//! bottom edge (Li et al., Generalized Focal Loss, arXiv 2006.04388).

use ndarray::ArrayView2;

use crate::geometry::BoxPx;

/// Boxes looked at in suppression at most, the surest ones. A picture with more is not a picture
/// of a car; the cost of suppression grows with the square.
const CANDIDATES_MAX: usize = 1000;
/// Boxes reported at most.
const BOXES_MAX: usize = 100;

/// How a detector lays out its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Priors {
    pub width_px: u32,
    pub height_px: u32,
    pub strides_px: Vec<u32>,
    pub bins: usize,
    pub classes: usize,
}

impl Priors {
    /// Returns how many priors there are: one a cell of each stride's grid.
    pub fn count(&self) -> usize {
        self.strides_px
            .iter()
            .map(|&stride| self.cells(stride))
            .sum()
    }

    /// Returns how many values stand for one prior.
    pub fn values(&self) -> usize {
        self.classes + 4 * self.bins
    }

    fn cells(&self, stride_px: u32) -> usize {
        (self.width_px.div_ceil(stride_px) * self.height_px.div_ceil(stride_px)) as usize
    }
}

/// One box of one class, in the input's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    pub class: usize,
    pub score: f32,
    pub area: BoxPx,
}

/// Returns every box whose class is wanted with at least its score, clipped to the input, before
/// suppression. `least` gives the least score of each class; none leaves the class out.
/// `output` is [priors, classes + 4 x bins].
///
/// # Panics
/// When `output` or `least` is not of the layout's size.
pub fn decode(
    output: ArrayView2<'_, f32>,
    priors: &Priors,
    least: &[Option<f32>],
) -> Vec<ScoredBox> {
    assert_eq!(
        output.dim(),
        (priors.count(), priors.values()),
        "the output's size"
    );
    assert_eq!(least.len(), priors.classes, "one least score a class");
    let wanted: Vec<(usize, f32)> = least
        .iter()
        .enumerate()
        .filter_map(|(class, least)| least.map(|least| (class, least)))
        .collect();
    let mut found = Vec::new();
    let mut first = 0;
    for &stride in &priors.strides_px {
        let columns = priors.width_px.div_ceil(stride) as usize;
        for cell in 0..priors.cells(stride) {
            let row = output.row(first + cell);
            let mut area = None;
            for &(class, least) in &wanted {
                let score = row[class];
                // NaN fails the comparison, so a broken output has no boxes.
                if score >= least {
                    let area = *area.get_or_insert_with(|| {
                        let centre = (cell % columns, cell / columns);
                        let bins = row.iter().skip(priors.classes).copied();
                        box_at(centre, f64::from(stride), priors, bins)
                    });
                    found.push(ScoredBox { class, score, area });
                }
            }
        }
        first += priors.cells(stride);
    }
    found
}

/// How much boxes of one class may overlap and still be two things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Largest intersection over union.
    pub iou_max: f64,
    /// Largest intersection over the smaller box; 1 lets a box lie within another.
    pub share_max: f64,
    /// Intersection over union from which a box that gives way still tells where the thing is; over 1
    /// the surest box alone does.
    pub mean_iou: f64,
}

/// The score, as a share of the surest box's, from which a box that gives way tells where the thing is.
const MEAN_SCORE_SHARE: f32 = 0.5;

/// Returns the score from which boxes are to be decoded so that those kept from `least` on stand where
/// they should.
pub fn least_told(least: f32) -> f32 {
    MEAN_SCORE_SHARE * least
}

impl Overlap {
    fn is_exceeded(self, a: &BoxPx, b: &BoxPx) -> bool {
        let smaller = a.area_px2().min(b.area_px2());
        a.iou(b) > self.iou_max || a.overlap_px2(b) > self.share_max * smaller
    }
}

/// Returns the boxes that no surer box of their class overlaps by more than `overlap` allows, the
/// surest first; of equal scores the first stays first. Each stands where the boxes around it say in the
/// mean: the surest one knows best what it sees, not where it ends.
pub fn suppress(mut boxes: Vec<ScoredBox>, overlap: Overlap) -> Vec<ScoredBox> {
    boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
    boxes.truncate(CANDIDATES_MAX);
    let mut kept: Vec<ScoredBox> = Vec::new();
    for &candidate in &boxes {
        let covered = kept
            .iter()
            .any(|k| k.class == candidate.class && overlap.is_exceeded(&k.area, &candidate.area));
        if !covered {
            kept.push(candidate);
        }
        if kept.len() == BOXES_MAX {
            break;
        }
    }
    for one in &mut kept {
        one.area = mean_area(one, &boxes, overlap.mean_iou);
    }
    kept
}

/// Returns the mean of the boxes of the same class that overlap `surest` by `iou_min`, itself
/// included, weighed by their scores squared.
fn mean_area(surest: &ScoredBox, boxes: &[ScoredBox], iou_min: f64) -> BoxPx {
    let around = boxes.iter().filter(|one| {
        one.class == surest.class
            && one.score >= MEAN_SCORE_SHARE * surest.score
            && one.area.iou(&surest.area) >= iou_min
    });
    let mut weights = 0.0;
    let mut sums = [0.0; 4];
    for one in around {
        let weight = f64::from(one.score).powi(2);
        let area = &one.area;
        let values = [area.x_px, area.y_px, area.width_px, area.height_px];
        weights += weight;
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
    if weights <= 0.0 {
        return surest.area;
    }
    let [x_px, y_px, width_px, height_px] = sums.map(|sum| sum / weights);
    BoxPx {
        x_px,
        y_px,
        width_px,
        height_px,
    }
}

fn box_at(
    (column, row): (usize, usize),
    stride_px: f64,
    priors: &Priors,
    bins: impl Iterator<Item = f32>,
) -> BoxPx {
    let mut bins = bins;
    let mut next = || stride_px * expected_bin(&mut bins, priors.bins);
    let (left, top, right, bottom) = (next(), next(), next(), next());
    let (x, y) = (column as f64 * stride_px, row as f64 * stride_px);
    let (width, height) = (f64::from(priors.width_px), f64::from(priors.height_px));
    BoxPx::from_corners(
        (x - left).clamp(0.0, width),
        (y - top).clamp(0.0, height),
        (x + right).clamp(0.0, width),
        (y + bottom).clamp(0.0, height),
    )
}

/// Returns the mean bin under the softmax of the next `count` values.
fn expected_bin(values: &mut impl Iterator<Item = f32>, count: usize) -> f64 {
    let logits: Vec<f64> = values.take(count).map(f64::from).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let share = (logit - largest).exp();
        sum += share;
        weighted += share * bin as f64;
    }
    if sum > 0.0 { weighted / sum } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn priors() -> Priors {
        Priors {
            width_px: 32,
            height_px: 16,
            strides_px: vec![8, 16],
            bins: 4,
            classes: 2,
        }
    }

    /// An output whose prior `index` says class 1 with `score` and all distances `bin` bins.
    fn output(index: usize, score: f32, bin: usize) -> Array2<f32> {
        let priors = priors();
        let mut output = Array2::zeros((priors.count(), priors.values()));
        output[[index, 1]] = score;
        for edge in 0..4 {
            output[[index, 2 + edge * 4 + bin]] = 50.0;
        }
        output
    }

    #[test]
    fn a_prior_of_the_second_stride_stands_on_its_grid() {
        // 4 x 2 cells of 8 px, then 2 x 1 of 16 px: the tenth prior is (16, 0) of the second.
        let found = decode(output(9, 0.7, 1).view(), &priors(), &[None, Some(0.5)]);
        let expected = BoxPx::from_corners(0.0, 0.0, 32.0, 16.0);
        assert_eq!(found.len(), 1);
        assert!(
            (found[0].area.iou(&expected) - 1.0).abs() < 1e-9,
            "{found:?}"
        );
        assert_eq!((found[0].class, found[0].score), (1, 0.7));
    }

    #[test]
    fn flat_bins_mean_the_middle_distance() {
        let mut flat = output(5, 0.7, 0);
        flat.row_mut(5)
            .iter_mut()
            .skip(2)
            .for_each(|value| *value = 0.3);
        let found = decode(flat.view(), &priors(), &[None, Some(0.5)]);
        // Cell (1, 1) of 8 px: centre (8, 8), 1.5 bins of 8 px each way, cut at the picture's edge.
        let expected = BoxPx::from_corners(0.0, 0.0, 20.0, 16.0);
        assert!(
            (found[0].area.iou(&expected) - 1.0).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn classes_left_out_and_scores_below_the_least_give_no_box() {
        assert!(decode(output(0, 0.7, 1).view(), &priors(), &[Some(0.1), None]).is_empty());
        assert!(decode(output(0, 0.4, 1).view(), &priors(), &[None, Some(0.5)]).is_empty());
        assert!(decode(output(0, f32::NAN, 1).view(), &priors(), &[None, Some(0.5)]).is_empty());
    }

    #[test]
    fn suppression_keeps_the_surest_of_each_class() {
        let area = BoxPx::from_corners(0.0, 0.0, 10.0, 10.0);
        let near = BoxPx::from_corners(1.0, 0.0, 11.0, 10.0);
        let far = BoxPx::from_corners(20.0, 0.0, 30.0, 10.0);
        let make = |class, score, area| ScoredBox { class, score, area };
        let kept = suppress(
            vec![
                make(0, 0.5, area),
                make(0, 0.9, near),
                make(1, 0.4, area),
                make(0, 0.3, far),
            ],
            Overlap {
                iou_max: 0.6,
                share_max: 1.0,
                mean_iou: 2.0,
            },
        );
        assert_eq!(
            kept,
            vec![make(0, 0.9, near), make(1, 0.4, area), make(0, 0.3, far)]
        );
    }

    #[test]
    fn what_gives_way_tells_where_the_thing_is() {
        let make = |class, score, area| ScoredBox { class, score, area };
        let surest = make(0, 0.8, BoxPx::from_corners(0.0, 0.0, 10.0, 10.0));
        let others = [
            make(0, 0.4, BoxPx::from_corners(0.0, 0.0, 10.0, 15.0)),
            // Too unsure, too far, another class.
            make(0, 0.3, BoxPx::from_corners(0.0, 0.0, 10.0, 12.0)),
            make(0, 0.7, BoxPx::from_corners(6.0, 0.0, 16.0, 10.0)),
            make(1, 0.8, BoxPx::from_corners(0.0, 0.0, 10.0, 14.0)),
        ];
        let overlap = Overlap {
            iou_max: 0.3,
            share_max: 0.95,
            mean_iou: 0.45,
        };
        let kept = suppress([&[surest][..], &others].concat(), overlap);
        // Weights of 4 to 1: 4/5 of 10 and 1/5 of 15.
        let mean = BoxPx::from_corners(0.0, 0.0, 10.0, 11.0);
        let of = |class| kept.iter().find(|one| one.class == class).expect("kept");
        assert!(of(0).area.iou(&mean) > 0.999, "{kept:?}");
        assert_eq!((of(0).score, of(1).area), (0.8, others[3].area));
    }

    #[test]
    fn a_part_of_a_thing_is_no_second_thing_when_shares_count() {
        let whole = ScoredBox {
            class: 0,
            score: 0.9,
            area: BoxPx::from_corners(0.0, 0.0, 10.0, 10.0),
        };
        let part = ScoredBox {
            score: 0.5,
            area: BoxPx::from_corners(1.0, 5.0, 5.0, 10.0),
            ..whole
        };
        let kept = |share_max| {
            let overlap = Overlap {
                iou_max: 0.6,
                share_max,
                mean_iou: 2.0,
            };
            suppress(vec![part, whole], overlap)
        };
        assert_eq!(kept(1.0), vec![whole, part]);
        assert_eq!(kept(0.8), vec![whole]);
    }
}
