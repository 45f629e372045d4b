//! The threads of a process. One that ends while they are looked at counts as ended.

use std::path::PathBuf;

use crate::hauld::Hauld;

/// A file that the kernel has about each thread of a process (`/proc/PID/task/TID/FILE`, proc(5)), and the thread's directory. A
/// process that is gone has none.
#[must_use]
pub fn each(pid: u32, file: &str) -> Vec<(PathBuf, String)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let read = |path: PathBuf| Some((std::fs::read_to_string(path.join(file)).ok()?, path));
    let found = threads.filter_map(|thread| read(thread.path()));
    found.map(|(text, thread)| (thread, text.trim_end().to_owned())).collect()
}

/// The number of the thread of a server that has this name. A thread gives itself its name: it may have none yet.
#[must_use]
pub fn named(server: &Hauld, name: &str) -> Option<i32> {
    let mut all = each(server.pid(), "comm").into_iter();
    let (thread, _) = all.find(|(_, found)| found == name)?;
    thread.file_name()?.to_str()?.parse().ok()
}
