//! A check's texts in English.

use super::Texts;

pub(crate) const EN: Texts = Texts {
    check: "Check everything now",
    check_hint: "Connects to each camera anew, loads the models, and sends each receiver one test message. Takes up to 20 s.",
    check_done: "Checked just now",
    check_note: "Works, and should be changed",
    config_line: "Configuration, line",
    data_dir: "Data directory",
    decoding: "Decoding",
    loaded: "Loaded, digests as stated: {}; computed on {}, up to {} at a time each",
    decodes: "{} can be used",
    writable: "Can be written, the database is sound",
    in_use: "In use by this service",
    picture: "{} {}x{}, a picture was decoded",
    answered: "The receiver has taken the test message",
    models_bad: "The models cannot be used",
    decoding_bad: "The video engine cannot be used",
    data_dir_bad: "The data directory cannot be used",
    unreachable: "The camera cannot be reached",
    no_picture: "The camera sends nothing that can be decoded",
    refused: "The receiver has not taken the test message",
    late: "No answer in time",
};
