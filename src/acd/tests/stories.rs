//! One story for each rule; `script` tells how they are read.

mod desks;
mod order;
mod seats;
mod waiting;

/// Three desks: one for everybody, one of a sub-centre that needs a skill, one that helps both out.
const DESKS: &str = r#"
    overflow_after_seconds = 60
    desks = [
        { id = "main", overflow = "night" },
        { id = "fund", skills = ["fund"], overflow = "main", priority = 2, capacity = 2 },
        { id = "night", capacity = 1 },
    ]
"#;
