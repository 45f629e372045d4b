//! The one table that turns errors of the store into refusals on the wire.

use haul_protocol::{Code, Refusal};

use crate::store::StoreError;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Escape { .. } => Code::Escape,
            StoreError::Conflict { .. } | StoreError::OtherHeritage { .. } => Code::Conflict,
            StoreError::CrossDevice { .. } | StoreError::Apart { .. } => Code::CrossDevice,
            StoreError::DigestMismatch { .. } => Code::DigestMismatch,
            StoreError::NoSpace { .. }
            | StoreError::Quota { .. }
            | StoreError::NoRoom { .. }
            | StoreError::TooMany { .. } => Code::NoSpace,
            StoreError::TooLarge { .. } => Code::TooLarge,
            StoreError::NameRefused { .. } => Code::BadName,
            StoreError::NoSymlinks { .. } => Code::Symlink,
            StoreError::Scarce { .. } => Code::Busy,
            StoreError::Uncertain { .. } => Code::Uncertain,
            StoreError::Spoiled { .. } | StoreError::Replaced { .. } => Code::UnknownUpload,
            StoreError::Permission { .. } | StoreError::ReadOnly { .. } => Code::Permission,
            StoreError::NotFound { .. } | StoreError::NoVersion { .. } => Code::NotFound,
            StoreError::Publishing { .. } => Code::Busy,
            StoreError::RolledBack { .. } => Code::RolledBack,
            StoreError::NotLast { .. } => Code::TakenOver,
            StoreError::VersionGone { .. } => Code::TakenOver,
            StoreError::Gone { .. } => Code::RootGone,
            StoreError::Io { .. } | StoreError::Group { .. } => Code::Io,
        };
        let retry = code.retry() || matches!(error, StoreError::Group { .. });
        Self { retry, ..Self::new(code, error) }
    }
}
