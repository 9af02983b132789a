//! The `plumb` program: see `plumb --help`, and `cli` for its commands.

fn main() {}
