//! What a process has used so far, as the kernel counts it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

/// A process to be watched.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Processor time of all its threads, in the kernel's ticks of 10 ms.
    ///
    /// # Errors
    /// If it is gone.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th word after it.
        let words = stat.rsplit_once(')').map_or("", |(_, words)| words).split_whitespace().skip(11).take(2);
        let ticks: u64 = words.map(str::parse::<u64>).sum::<Result<u64, _>>().context("the kernel's counts")?;
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(rustix::param::clock_ticks_per_second());
        Ok(Duration::from_nanos(u64::try_from(nanos)?))
    }

    /// Bytes that it has caused to be written to a disk.
    ///
    /// # Errors
    /// If it is gone, or another user's.
    pub fn written_bytes(self) -> anyhow::Result<u64> {
        let io = self.read("io")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(written.context("the kernel counts no writes")?.trim().parse()?)
    }

    /// Memory that it holds now.
    ///
    /// # Errors
    /// If it is gone.
    pub fn resident_bytes(self) -> anyhow::Result<u64> {
        let status = self.read("status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(resident.context("the kernel counts no memory")?.parse::<u64>()? * 1024)
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.0));
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// What some processes together have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time.
    pub cpu: Duration,
    /// Bytes that they have caused to be written to a disk.
    pub written_bytes: u64,
    /// Memory that they hold now.
    pub resident_bytes: u64,
}

impl Usage {
    /// Adds them up.
    ///
    /// # Errors
    /// If one of them is gone.
    pub fn of(processes: &[Process]) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        for process in processes {
            usage.cpu += process.cpu()?;
            usage.written_bytes += process.written_bytes()?;
            usage.resident_bytes += process.resident_bytes()?;
        }
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_counts() {
        let own = Process(std::process::id());
        let before = own.cpu().unwrap();
        let mut number = 0_u64;
        while own.cpu().unwrap() == before {
            number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(7));
        }
        own.written_bytes().unwrap();
        assert!(own.resident_bytes().unwrap() > 4096);
    }
}
