//! Memory that is free goes back to the system.
//!
//! The allocator of the GNU C library keeps memory that is freed in the midst of its heaps, so a server that has once held
//! hundreds of MiB for a crowd would keep them for good (malloc_trim(3)).

/// Gives all whole pages back that hold nothing. Takes some milliseconds for hundreds of MiB: for the timer, not for a
/// worker.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]
pub(crate) fn give_back() {
    // SAFETY: `malloc_trim` takes a number of bytes to keep and no pointer, may be called from any thread at any time
    // (it is marked MT-Safe), and changes no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators see to that themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
