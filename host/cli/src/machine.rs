//! What the machine has for this process, as far as a default depends on it.

use std::fs;
use std::path::{Path, PathBuf};

use weft_core::manifest::EngineSettings;
use weft_engine::EngineOptions;

/// How much of the machine's memory the instances of functions may have by default, in percent: the rest is for the
/// host, for databases' pages, and for what it holds on behalf of functions.
const MEMORY_PERCENT: u64 = 75;

/// The engine's options: what the manifest says, and where it says nothing, what the machine allows.
#[must_use]
pub fn engine_options(settings: &EngineSettings) -> EngineOptions {
    let default = EngineOptions::default();
    let of_machine = || memory_bytes(Path::new("/")).map(share_mb);
    EngineOptions {
        max_instances: settings.max_instances,
        max_memory_mb: settings.max_memory_mb.or_else(of_machine).unwrap_or(default.max_memory_mb),
        ..default
    }
}

fn share_mb(bytes: u64) -> u32 {
    u32::try_from((bytes >> 20) * MEMORY_PERCENT / 100).unwrap_or(u32::MAX).max(1)
}

/// The least of what the machine has and what the process's control groups let it have. Nothing if neither is said,
/// as on a machine without `/proc`. `root` is `/` but in tests.
fn memory_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| of_group(root, line));
    fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total(&text)).into_iter().chain(of_groups).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of a group of `/proc/self/cgroup` and of those above it, in bytes. In a container the path may be
/// that of the host, of which only the top is mounted.
fn of_group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (mounted, file) = match (number, controllers) {
        ("0", "") => ("sys/fs/cgroup", "memory.max"),
        (_, controllers) if controllers.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let top = root.join(mounted);
    let own: PathBuf = top.join(path.trim_start_matches('/'));
    let limits = own.ancestors().take_while(|folder| folder.starts_with(&top));
    // `max` and a number that no machine has stand for none.
    limits.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A machine of 8 GiB with these files of control groups.
    fn machine(groups: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let own = [("proc/self/cgroup", groups), ("proc/meminfo", "MemFree: 1 kB\nMemTotal:        8388608 kB\n")];
        for (file, text) in own.iter().chain(files) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_of_machine_and_groups_counts() {
        let of = |groups: &str, files: &[(&str, &str)]| memory_bytes(machine(groups, files).path());
        assert_eq!(of("", &[]), Some(8 * GIB));
        let (own, above) = ("sys/fs/cgroup/a/b/memory.max", "sys/fs/cgroup/a/memory.max");
        assert_eq!(of("0::/a/b\n", &[(own, "2147483648\n"), (above, "max\n")]), Some(2 * GIB));
        assert_eq!(of("0::/a/b\n", &[(own, "max\n"), (above, "1073741824\n")]), Some(GIB));
        assert_eq!(of("0::/a/b\n", &[(own, "max\n"), (above, "max\n")]), Some(8 * GIB));
        // In a container, the path is that outside of it.
        assert_eq!(of("0::/a/b\n", &[("sys/fs/cgroup/memory.max", "1073741824\n")]), Some(GIB));
        let older = "5:cpu:/x\n4:blkio,memory:/x\n0::/\n";
        let file = "sys/fs/cgroup/memory/x/memory.limit_in_bytes";
        assert_eq!(of(older, &[(file, "3221225472\n")]), Some(3 * GIB));
        assert_eq!(of(older, &[(file, "9223372036854771712\n")]), Some(8 * GIB));
        assert_eq!(of("0::/../..\nnothing\n", &[]), Some(8 * GIB));
        assert_eq!(memory_bytes(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn the_manifest_outranks_the_machine() {
        assert_eq!(share_mb(8 * GIB), 6 * 1024);
        let said = EngineSettings { max_memory_mb: Some(64), max_instances: 20 };
        let options = engine_options(&said);
        assert_eq!((options.max_memory_mb, options.max_instances), (64, 20));
        let options = engine_options(&EngineSettings::default());
        assert_eq!(options.max_instances, EngineOptions::default().max_instances);
        assert!(options.max_memory_mb > 64, "{options:?}");
    }
}
