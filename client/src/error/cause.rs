//! The cause of a failure, without the names that it is about: failures of one cause are alike.

use std::borrow::Cow;

use haul_protocol::Code;

use super::adrift::Adrift;
use super::file::FileError;
use super::target::TargetError;

impl FileError {
    /// The cause, in words that are the same for all failures that are alike.
    #[must_use]
    pub fn cause(&self) -> Cow<'static, str> {
        let text = match self {
            Self::Adrift(Adrift::Unmounted(_)) => {
                "another file system is mounted there now, or none"
            }
            Self::Receipt(_) => "arrived, but is not in the receipt",
            Self::Rules(_) => "the rules of the directory could not be read",
            Self::Lost { .. } => {
                "the connection was lost again and again while this waited for its answer"
            }
            Self::Unlisted(_) => "entries in it have paths that are too long for a request",
            Self::Through(_) => {
                "a symlink leads there, through which haul goes only with --links follow"
            }
            Self::SameName(_) | Self::Target(TargetError::SameName(_)) => {
                "another source has the same name"
            }
            Self::Namesake(_) => "arrived, but another source has the same name",
            Self::TooLarge { .. } => "larger than the server takes",
            Self::Refused(refusal) if refusal.code == Code::NoSpace => {
                "no room at the server (no_space)"
            }
            Self::Refused(refusal) if refusal.code == Code::Quota => {
                "the account's quota is full (quota)"
            }
            Self::Refused(refusal) => {
                return format!("refused by the server ({})", refusal.code).into();
            }
            Self::Other(text) => return text.clone(),
            Self::Local { .. }
            | Self::Adrift(_)
            | Self::Target(_)
            | Self::List(_)
            | Self::NotRemoved(_)
            | Self::Changed
            | Self::Size
            | Self::NotThere
            | Self::Damaged
            | Self::Name(_)
            | Self::TakenOver
            | Self::Aside
            | Self::NoFile(_)
            | Self::Spool { .. }
            | Self::Command(_) => return self.to_string().into(),
        };
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Code, Refusal};

    use super::*;

    #[test]
    fn refusals_of_different_names_are_alike() {
        let [one, other] = ["a", "b"].map(|name| {
            let message = format!("`{name}` is a directory");
            FileError::Refused(Refusal { code: Code::Conflict, message, retry: false })
        });
        assert_ne!(one.to_string(), other.to_string());
        assert_eq!(one.cause(), other.cause());
    }
}
