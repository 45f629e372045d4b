//! Output for people and scripts: counts while a run goes on, a summary in the end.

pub mod console;
pub mod progress;
