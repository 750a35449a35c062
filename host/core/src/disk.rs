//! The disk behind a trait, as far as append logs need it: preallocated files, writes at an offset, and the two flushes
//! (of a file's data, of a directory's names) that durability stands on. What is written into the files belongs to the
//! log. [`RealDisk`] is the machine's; [`SimulatedDisk`] loses what was not flushed.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

mod simulated;

pub use simulated::{DiskCounts, SimulatedDisk, SyncHold};

/// Files and directories.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a directory and its parents; one that exists is left as it is.
    ///
    /// # Errors
    /// As the operating system has it.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a file of `bytes` zero bytes whose space is set aside. Its name is durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, or as the operating system has it.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or as the operating system has it.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As the operating system has it.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As the operating system has it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system has it.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on a file, made if need be, until the answer is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file. All operations take a position of their own, so a file is shared freely.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`. Not durable before [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// `StorageFull`, or as the operating system has it; part of the bytes may then be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads into `buffer` from `offset`. Answers how many bytes; fewer than asked for only at the end of the file.
    ///
    /// # Errors
    /// As the operating system has it.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// As the operating system has it.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file to `bytes`.
    ///
    /// # Errors
    /// As the operating system has it.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Extends the file with zeros to `bytes` and sets the space aside; a longer file is left as it is.
    ///
    /// # Errors
    /// `StorageFull`, or as the operating system has it.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Waits until data and length are on the medium.
    ///
    /// # Errors
    /// As the operating system has it. After an error nothing is known of the writes since the last success.
    fn sync_data(&self) -> io::Result<()>;
    /// What was read will not be read again soon: memory that only holds a copy of it may be given up.
    ///
    /// # Errors
    /// As the operating system has it.
    fn forget_read(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A held lock; dropping it gives the lock up.
pub trait DiskLock: Debug + Send + Sync + 'static {}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    // The lock lives as long as the descriptor.
    _file: File,
}

impl DiskLock for RealLock {}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealFile(OpenOptions::new().read(true).write(true).create_new(true).open(path)?);
        file.allocate(bytes)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
        let mut names = entries.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let have = self.size()?;
        if have >= bytes {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), have, bytes - have) {
            // Some file systems cannot set space aside; there a full disk shows at the write.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(bytes),
            done => Ok(done?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_read(&self) -> io::Result<()> {
        // Read-ahead leaves large pages behind, each of which is written whole for every small record.
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_file_has_its_space_and_is_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = RealDisk.create(&path, 4096).unwrap();
        file.write_at(10, b"hello").unwrap();
        file.sync_data().unwrap();
        let mut read = [1; 6];
        assert_eq!(RealDisk.open(&path).unwrap().read_at(9, &mut read).unwrap(), 6);
        assert_eq!(&read, b"\0hello");
        assert_eq!(file.size().unwrap(), 4096);
        file.truncate(12).unwrap();
        file.allocate(20).unwrap();
        let mut read = [1; 32];
        assert_eq!(file.read_at(10, &mut read).unwrap(), 10);
        assert_eq!(&read[..10], b"he\0\0\0\0\0\0\0\0");
        assert_eq!(RealDisk.create(&path, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = RealDisk.lock(&path).unwrap();
        assert_eq!(RealDisk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        RealDisk.lock(&path).unwrap();
    }

    #[test]
    fn directories_are_made_listed_and_emptied() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b/c");
        RealDisk.create_dir(&dir).unwrap();
        RealDisk.create_dir(&dir).unwrap();
        for name in ["2", "1"] {
            RealDisk.create(&dir.join(name), 1).unwrap();
        }
        assert_eq!(RealDisk.list(&dir).unwrap(), ["1", "2"]);
        RealDisk.remove(&dir.join("1")).unwrap();
        RealDisk.sync_dir(&dir).unwrap();
        assert_eq!(RealDisk.list(&dir).unwrap(), ["2"]);
    }
}
