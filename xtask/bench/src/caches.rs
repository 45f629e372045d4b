//! The caches of the processor: with other ones, figures are others.

use std::fs;
use std::path::Path;

/// Where Linux tells of them (Documentation/ABI/testing/sysfs-devices-system-cpu).
const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";

/// The second and the third level, and the processors that share each: `L2 1024K (processors 0), L3 32768K (processors 0-1)`.
pub(super) fn told() -> String {
    let caches = of(Path::new(CACHES));
    if caches.is_empty() { String::from("caches unknown") } else { caches.join(", ") }
}

fn of(directory: &Path) -> Vec<String> {
    let of = |index: usize| {
        let told = |file: &str| {
            let path = directory.join(format!("index{index}")).join(file);
            fs::read_to_string(path).map(|text| text.trim().to_owned())
        };
        let (level, size) = (told("level").ok()?, told("size").ok()?);
        let shared = told("shared_cpu_list").unwrap_or_default();
        Some((level, format!("{size} (processors {shared})")))
    };
    let all = (0..).map_while(of).filter(|(level, _)| matches!(level.as_str(), "2" | "3"));
    all.map(|(level, size)| format!("L{level} {size}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_and_third_level_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let caches = [("1", "32K", "0"), ("2", "1024K", "0"), ("3", "32768K", "0-1")];
        for (index, (level, size, shared)) in caches.iter().enumerate() {
            let cache = directory.path().join(format!("index{index}"));
            fs::create_dir(&cache).unwrap();
            for (file, text) in [("level", level), ("size", size), ("shared_cpu_list", shared)] {
                fs::write(cache.join(file), format!("{text}\n")).unwrap();
            }
        }
        let expected = ["L2 1024K (processors 0)", "L3 32768K (processors 0-1)"];
        assert_eq!(of(directory.path()), expected);
        assert!(of(&directory.path().join("none")).is_empty());
    }
}
