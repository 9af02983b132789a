//! Why a scene cannot be: a word for programs, the values that belong to it, and an English sentence.
//! Pages say it in the reader's language by the word.

use std::fmt;

/// What is wrong with a scene; names the key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {problem}")]
pub struct SceneError {
    pub key: String,
    pub problem: SceneProblem,
}

impl SceneError {
    pub(super) fn new(key: &str, reason: Reason, values: &[&dyn fmt::Display]) -> Self {
        Self {
            key: key.to_owned(),
            problem: SceneProblem {
                reason,
                values: values.iter().map(|value| value.to_string()).collect(),
            },
        }
    }
}

/// A reason with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneProblem {
    pub reason: Reason,
    /// In the order in which the sentence names them.
    pub values: Vec<String>,
}

impl fmt::Display for SceneProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.values.iter();
        for (index, part) in self.reason.sentence().split("{}").enumerate() {
            if index > 0 {
                f.write_str(values.next().map_or("?", String::as_str))?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

macro_rules! reasons {
    ($($name:ident $word:literal $sentence:literal),+ $(,)?) => {
        /// Why a scene cannot be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($name),+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the word that JSON uses.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }

            /// Returns the English sentence, with `{}` where each value stands.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence),+
                }
            }
        }
    };
}

reasons!(
    OtherKind "other_kind" "the scene is not for a camera of kind {}",
    Floors "floors" "{} is not 1 to 200",
    StoreyHeight "storey_height" "{} m is not 2 to 6",
    OneLine "one_line" "one line gives no scale; draw at least two floors, or none",
    LineFloor "line_floor" "floor {} is not 1 to {} (the roof's edge)",
    LineShort "line_short" "right end must lie at least 0.01 right of the left end",
    LineTwice "line_twice" "floor {} has a line already",
    LineBelow "line_below" "floor {} is drawn below floor {}; y counts from the top of the picture",
    LinesCross "lines_cross" "the lines of floors {} and {} cross",
    TooMany "too_many" "{} are more than {}",
    Outside "outside" "[{}, {}] is outside the picture; coordinates are relative, 0 to 1",
    FewCorners "few_corners" "{} corners enclose nothing",
    Corners "corners" "needs 3 to {} corners, not {}",
    EdgesCross "edges_cross" "the edges after corners {} and {} cross each other",
    NoArea "no_area" "encloses no area",
);
