//! The texts of records in English.

use super::Texts;

pub(crate) const EN: Texts = Texts {
    hold: "Hold the evidence",
    hold_title: "Hold the evidence",
    hold_hint: "It is not deleted by any rule until somebody releases it.",
    release: "Release the evidence",
    release_title: "Release the evidence",
    held: "Held: not deleted by any rule",
    reason: "Reason",
    cancel: "Cancel",
    deleted: "The evidence was deleted",
    deleted_age: "It was older than evidence is kept.",
    deleted_room: "The disk had no more room, and it was the oldest.",
};
