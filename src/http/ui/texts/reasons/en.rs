//! Why a scene cannot be saved, in English.

use super::Texts;

pub(crate) const EN: Texts = Texts {
    other_kind: "this scene is not for a camera of kind {}",
    floors: "{} floors; a building has 1 to 200",
    storey_height: "a storey of {} m; it has 2 to 6 m",
    one_line: "one line gives no scale: draw two floors at least, or none",
    line_floor: "floor {} is not 1 to {} (the roof's edge)",
    line_short: "its right end must lie to the right of its left end",
    line_twice: "floor {} has a line already",
    line_below: "floor {} is drawn below floor {}",
    lines_cross: "the lines of floors {} and {} cross",
    too_many: "{} are more than {}",
    outside: "the point [{}, {}] is outside the picture",
    few_corners: "{} corners enclose nothing",
    corners: "3 to {} corners are needed, not {}",
    edges_cross: "the edges after corners {} and {} cross",
    no_area: "it encloses no area",
    changed_meanwhile: "Somebody else has changed the scene since you opened it. Load the page again and draw on that one.",
    file_unwritable: "The scene file cannot be written. The service needs the right to write it, or the camera's configuration must leave `scene` out.",
    no_door: "Only the car's floor is drawn: whether an e-bike is inside is judged by where it stands, and the door plays no part.",
};
