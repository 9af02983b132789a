//! Why a scene cannot be saved, by the words of `scene::Reason`.

mod en;
mod zh;

pub(crate) use en::EN;
pub(crate) use zh::ZH;

use crate::scene::Reason;

texts!(
    other_kind,
    floors,
    storey_height,
    one_line,
    line_floor,
    line_short,
    line_twice,
    line_below,
    lines_cross,
    too_many,
    outside,
    few_corners,
    corners,
    edges_cross,
    no_area,
    // What else keeps a scene from being saved.
    changed_meanwhile,
    file_unwritable,
    // What a car has besides its floor.
    no_door,
);

impl Texts {
    /// Returns the sentence for a reason, with `{}` where each value stands.
    pub(crate) fn of(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::OtherKind => self.other_kind,
            Reason::Floors => self.floors,
            Reason::StoreyHeight => self.storey_height,
            Reason::OneLine => self.one_line,
            Reason::LineFloor => self.line_floor,
            Reason::LineShort => self.line_short,
            Reason::LineTwice => self.line_twice,
            Reason::LineBelow => self.line_below,
            Reason::LinesCross => self.lines_cross,
            Reason::TooMany => self.too_many,
            Reason::Outside => self.outside,
            Reason::FewCorners => self.few_corners,
            Reason::Corners => self.corners,
            Reason::EdgesCross => self.edges_cross,
            Reason::NoArea => self.no_area,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_in_both_languages_with_all_its_values() {
        super::super::check_languages(&ZH.all(), &EN.all());
        for reason in Reason::ALL {
            let places = reason.sentence().matches("{}").count();
            for text in [ZH.of(*reason), EN.of(*reason)] {
                assert_eq!(text.matches("{}").count(), places, "{text}");
            }
        }
    }
}
