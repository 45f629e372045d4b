//! Where the two small state machines that threads share ([`crate::ownership`], [`crate::queue`]) get
//! their locks from: here the real ones, in their tests those of loom, which tries every order.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
