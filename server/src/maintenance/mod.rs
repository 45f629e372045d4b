//! What nobody asks for: old partials, versions and trash go.

pub(crate) mod partials;
pub(crate) mod sweeper;
