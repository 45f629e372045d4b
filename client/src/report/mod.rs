//! What a person or a script is told: counts while it runs, a summary in the end.

pub mod console;
pub mod progress;
