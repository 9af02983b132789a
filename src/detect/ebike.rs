//! Finds e-bikes, and what is easily taken for one, on a frame or a picture.
//!
//! Everything that differs between models (classes, thresholds, layout) comes from models.toml;
//! whether a detection is an alarm is for `alarm::ebike` to say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use image::RgbImage;
use ndarray::{Axis, Ix3};
use serde::{Deserialize, Serialize};

use crate::decode::Frame;
use crate::detect::boxes::{self, Overlap, Priors};
use crate::detect::tensor::{ChannelOrder, Letterbox, PictureSpec, PictureTensor};
use crate::detect::{Models, Session, SessionError};
use crate::geometry::BoxPx;

/// The model's name in models.toml and on the command line.
pub const MODEL: &str = "ebike";

/// What a detection is. The order is of no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Ebike,
    Bicycle,
    Pram,
    Wheelchair,
    Person,
    /// Another thing on wheels or of that size: trolley, luggage, child's scooter.
    Other,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 6] = [
        Self::Ebike,
        Self::Bicycle,
        Self::Pram,
        Self::Wheelchair,
        Self::Person,
        Self::Other,
    ];

    /// Returns the name used in JSON and models.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ebike => "ebike",
            Self::Bicycle => "bicycle",
            Self::Pram => "pram",
            Self::Wheelchair => "wheelchair",
            Self::Person => "person",
            Self::Other => "other",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing on one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub class: Class,
    /// 0..1, as the model gives it.
    pub score: f64,
    /// In full-resolution pixels of the picture.
    pub area: BoxPx,
}

/// The two scores of a class, 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Least score that makes an alarm.
    pub alarm: f64,
    /// Least score that keeps a track alive.
    pub track: f64,
}

/// From which score on a detection counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// From each class's `alarm` threshold.
    Alarm,
    /// From each class's `track` threshold.
    Track,
    /// From this score, for every class.
    Score(f64),
}

/// `[ebike.settings]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    colour: ChannelOrder,
    mean: [f32; 3],
    std: [f32; 3],
    strides_px: Vec<u32>,
    bins: usize,
    nms_iou: f64,
    /// Boxes of one class of which this share of the smaller one overlaps are one; 1 is never.
    #[serde(default = "never")]
    nms_share: f64,
    /// Boxes of one class that overlap by this much tell together where the thing is.
    #[serde(default = "by_no_overlap")]
    mean_iou: f64,
    thresholds: BTreeMap<Class, Thresholds>,
    /// The model's name of a class = Plumb's.
    #[serde(default)]
    map: BTreeMap<String, Class>,
    classes: Vec<String>,
}

/// The e-bike detector, loaded. Cloning shares the weights, not the buffers.
#[derive(Clone, Debug)]
pub struct EbikeDetector {
    session: Session,
    meaning: Arc<Meaning>,
    input: PictureTensor,
}

/// What the model's numbers mean.
#[derive(Debug)]
struct Meaning {
    priors: Priors,
    /// By the model's class; none where Plumb has no use for it.
    classes: Vec<Option<Class>>,
    thresholds: BTreeMap<Class, Thresholds>,
    overlap: Overlap,
}

fn never() -> f64 {
    1.0
}

fn by_no_overlap() -> f64 {
    1.0
}

impl EbikeDetector {
    /// Loads the detector that models.toml describes as `[ebike]`.
    /// Fails when the file or the table is missing or wrong.
    pub fn load(models: &Models) -> Result<Self, SessionError> {
        let settings: Settings = models.settings(MODEL)?;
        let (input, output) = models.shapes(MODEL)?;
        let unsuitable = |message: String| models.unsuitable(MODEL, message);
        let (width_px, height_px) = input_size(input).map_err(unsuitable)?;
        settings.check().map_err(unsuitable)?;
        let priors = Priors {
            width_px,
            height_px,
            strides_px: settings.strides_px.clone(),
            bins: settings.bins,
            classes: settings.classes.len(),
        };
        let expected = [priors.count(), priors.values()];
        let fits = |(&found, expected): (&i64, usize)| {
            found == -1 || usize::try_from(found) == Ok(expected)
        };
        if output.len() != 3 || !output.iter().skip(1).zip(expected).all(fits) {
            return Err(unsuitable(format!(
                "describe an output of [1, {}, {}], but the table has {output:?}",
                expected[0], expected[1]
            )));
        }
        let spec = PictureSpec {
            width_px,
            height_px,
            colour: settings.colour,
            mean: settings.mean,
            std: settings.std,
        };
        Ok(Self {
            session: models.session(MODEL)?,
            input: PictureTensor::new(spec),
            meaning: Arc::new(Meaning {
                priors,
                classes: settings.plumb_classes(),
                thresholds: settings.thresholds,
                overlap: Overlap {
                    iou_max: settings.nms_iou,
                    share_max: settings.nms_share,
                    mean_iou: settings.mean_iou,
                },
            }),
        })
    }

    /// Returns the model's file as its SHA-256, in lower-case hex.
    pub fn sha256(&self) -> &str {
        self.session.sha256()
    }

    /// Returns the thresholds of a class, none when the model does not report it.
    pub fn thresholds(&self, class: Class) -> Option<Thresholds> {
        self.meaning.thresholds.get(&class).copied()
    }

    /// Returns what is on the frame, the surest first, from `least` on.
    /// Fails when ONNX Runtime does.
    pub fn detect(&mut self, frame: &Frame, least: Least) -> Result<Vec<Detection>, SessionError> {
        let letterbox = self.input.fill_from_frame(frame);
        self.infer(letterbox, least)
    }

    /// Returns what is on the picture, the surest first, from `least` on.
    /// Fails when ONNX Runtime does.
    pub fn detect_picture(
        &mut self,
        picture: &RgbImage,
        least: Least,
    ) -> Result<Vec<Detection>, SessionError> {
        let letterbox = self.input.fill_from_picture(picture);
        self.infer(letterbox, least)
    }

    fn infer(&self, letterbox: Letterbox, least: Least) -> Result<Vec<Detection>, SessionError> {
        let meaning = &self.meaning;
        let least = meaning.least_scores(least);
        let found = self.session.run_with(self.input.values(), |output| {
            let output = output
                .into_dimensionality::<Ix3>()
                .expect("the output's rank was checked when the model was opened");
            // What is not reported may still tell where a thing is.
            let told: Vec<_> = least
                .iter()
                .map(|least| least.map(boxes::least_told))
                .collect();
            let mut found = boxes::decode(output.index_axis(Axis(0), 0), &meaning.priors, &told);
            // Several of the model's classes may be one of Plumb's: they suppress each other.
            for one in &mut found {
                one.class = meaning.classes[one.class].map_or(0, |class| class as usize);
            }
            let mut kept = boxes::suppress(found, meaning.overlap);
            kept.retain(|one| meaning.is_reported(one, &least));
            kept
        })?;
        let detection = |one: boxes::ScoredBox| Detection {
            class: Class::ALL[one.class],
            score: f64::from(one.score),
            area: letterbox.to_picture(&one.area),
        };
        Ok(found.into_iter().map(detection).collect())
    }
}

impl Meaning {
    /// Returns the least score of each of the model's classes, none for those not reported.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a score needs no more than f32"
    )]
    fn least_scores(&self, least: Least) -> Vec<Option<f32>> {
        let of_class = |class: &Option<Class>| {
            let thresholds = self.thresholds.get(class.as_ref()?)?;
            Some(match least {
                Least::Alarm => thresholds.alarm as f32,
                Least::Track => thresholds.track as f32,
                Least::Score(score) => score as f32,
            })
        };
        self.classes.iter().map(of_class).collect()
    }

    /// Returns whether a box of one of Plumb's classes has the least score of a class of the model's
    /// that stands for it.
    fn is_reported(&self, one: &boxes::ScoredBox, least: &[Option<f32>]) -> bool {
        let mut of_class = self
            .classes
            .iter()
            .zip(least)
            .filter_map(|(class, least)| (*class).map(|class| class as usize).zip(*least));
        of_class.any(|(class, least)| class == one.class && one.score >= least)
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        for (class, Thresholds { alarm, track }) in &self.thresholds {
            if !(0.0 < *track && track <= alarm && *alarm < 1.0) {
                return Err(format!(
                    "thresholds of {class}: 0 < track <= alarm < 1, not track {track}, alarm {alarm}"
                ));
            }
        }
        if !self.thresholds.contains_key(&Class::Ebike) {
            return Err("thresholds: there is none for \"ebike\"".to_owned());
        }
        if let Some(name) = self.map.keys().find(|name| !self.classes.contains(name)) {
            return Err(format!("map: {name:?} is not one of the classes"));
        }
        if !self.plumb_classes().contains(&Some(Class::Ebike)) {
            return Err("classes: none is \"ebike\", nor does map make one so".to_owned());
        }
        for (key, value) in [
            ("nms_iou", self.nms_iou),
            ("nms_share", self.nms_share),
            ("mean_iou", self.mean_iou),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{key}: 0..1, not {value}"));
            }
        }
        if self.strides_px.is_empty() || self.strides_px.contains(&0) || self.bins < 2 {
            return Err("strides_px must be positive and bins at least 2".to_owned());
        }
        if self.std.iter().any(|std| *std <= 0.0) {
            return Err(format!("std must be positive, not {:?}", self.std));
        }
        Ok(())
    }

    fn plumb_classes(&self) -> Vec<Option<Class>> {
        let plumb_class = |name: &String| match self.map.get(name) {
            Some(class) => Some(*class),
            None => Class::parse(name),
        };
        self.classes.iter().map(plumb_class).collect()
    }
}

fn input_size(shape: &[i64]) -> Result<(u32, u32), String> {
    let side = |length: i64| {
        u32::try_from(length)
            .ok()
            .filter(|side| (32..=4096).contains(side))
    };
    match shape {
        [1, 3, height, width] => side(*width).zip(side(*height)),
        _ => None,
    }
    .ok_or_else(|| {
        format!("need an input of [1, 3, 32..4096, 32..4096], but the table has {shape:?}")
    })
}
