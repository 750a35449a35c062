//! A disk in memory for tests. It keeps apart what was written and what was flushed, forgets the difference at a
//! crash, and fails on demand. It is strict: a name is gone after a crash unless its directory was flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock};

/// What has happened on a [`SimulatedDisk`] so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Writes that were taken.
    pub writes: u64,
    /// Flushes of file data that completed.
    pub syncs: u64,
}

/// A disk in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    contents: BTreeMap<u64, Content>,
    next_id: u64,
    /// Handles of an earlier generation belong to a process that has crashed.
    generation: u64,
    locks: BTreeSet<PathBuf>,
    counts: DiskCounts,
    holds: u32,
    held_syncs: u32,
    free_bytes: Option<u64>,
    failing_syncs: u32,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unflushed: Vec<(u64, Vec<u8>)>,
}

/// While it lives, flushes of file data do not complete.
#[derive(Debug)]
pub struct SyncHold(SimulatedDisk);

impl SyncHold {
    /// How many flushes wait for the hold to end.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.0.state().held_syncs
    }
}

impl Drop for SyncHold {
    fn drop(&mut self) {
        self.0.state().holds -= 1;
        self.0.0.released.notify_all();
    }
}

impl SimulatedDisk {
    /// An empty disk without limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power. Of the unflushed bytes of each file, in the order of their writing, the first
    /// `kept_bytes` had reached the medium: a write may be torn at any byte. Every open handle and lock is dead.
    pub fn crash(&self, kept_bytes: usize) {
        self.crash_where(|at| at < kept_bytes);
    }

    /// As [`SimulatedDisk::crash`], but each 512-byte sector of the unflushed writes is kept or lost on its own,
    /// as `seed` decides: a medium is free to reorder what was not flushed.
    pub fn crash_scattered(&self, seed: u64) {
        self.crash_where(|at| {
            let mut x = seed ^ (at as u64 / 512).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (x ^ (x >> 27)) & 1 == 1
        });
    }

    fn crash_where(&self, keep: impl Fn(usize) -> bool) {
        let mut state = self.state();
        state.generation += 1;
        state.locks.clear();
        state.files = state.durable_names.clone();
        for content in state.contents.values_mut() {
            let mut at = 0;
            for (offset, bytes) in std::mem::take(&mut content.unflushed) {
                for (index, byte) in bytes.iter().enumerate() {
                    // The file's length is metadata: bytes beyond the flushed length are lost.
                    let slot = usize::try_from(offset).ok().and_then(|o| content.durable.get_mut(o + index));
                    if let Some(slot) = slot.filter(|_| keep(at)) {
                        *slot = *byte;
                    }
                    at += 1;
                }
            }
            content.now = content.durable.clone();
        }
        drop(state);
        self.0.released.notify_all();
    }

    /// Writes and flushes so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// How many bytes of a file were written and not flushed; 0 for a file that is not there.
    #[must_use]
    pub fn unflushed_bytes(&self, path: &Path) -> usize {
        let state = self.state();
        let content = state.files.get(path).and_then(|id| state.contents.get(id));
        content.map_or(0, |content| content.unflushed.iter().map(|(_, bytes)| bytes.len()).sum())
    }

    /// From now on only `bytes` more can be set aside; `None` lifts the limit.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// The next `count` flushes of file data fail, and what they should have flushed is lost at a crash.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Flushes of file data do not complete until the answer is dropped.
    #[must_use]
    pub fn hold_syncs(&self) -> SyncHold {
        self.state().holds += 1;
        SyncHold(self.clone())
    }

    /// Changes bytes behind everyone's back, as a failing medium does.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` beyond the end of the file.
    pub fn corrupt(&self, path: &Path, offset: u64, change: impl Fn(u8) -> u8) -> io::Result<()> {
        let mut state = self.state();
        let id = *state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let content = state.contents.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        for bytes in [&mut content.now, &mut content.durable] {
            let byte = bytes.get_mut(at).ok_or(io::ErrorKind::InvalidInput)?;
            *byte = change(*byte);
        }
        Ok(())
    }
}

impl State {
    fn take_space(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.free_bytes {
            Some(free) if *free < bytes => Err(io::ErrorKind::StorageFull.into()),
            Some(free) => {
                *free -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn resize(bytes: &mut Vec<u8>, size: u64) -> io::Result<()> {
    bytes.resize(usize::try_from(size).map_err(io::Error::other)?, 0);
    Ok(())
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.take_space(bytes)?;
        let id = state.next_id;
        state.next_id += 1;
        let mut content = Content::default();
        resize(&mut content.now, bytes)?;
        state.contents.insert(id, content);
        state.files.insert(path.to_owned(), id);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), id, generation: state.generation }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let id = *state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), id, generation: state.generation }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().files.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inside = |path: &Path| path.parent() == Some(dir);
        state.durable_names.retain(|path, _| !inside(path));
        let now: Vec<_> = state.files.iter().filter(|(path, _)| inside(path)).map(|(p, id)| (p.clone(), *id)).collect();
        state.durable_names.extend(now);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock { disk: self.clone(), path: path.to_owned(), generation: state.generation }))
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
    generation: u64,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
    generation: u64,
}

impl SimulatedFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other("the simulated machine has crashed"));
        }
        act(&mut state)
    }

    fn with_content<T>(&self, act: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        self.with(|state| act(state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?))
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let size = state.contents.get(&self.id).map_or(0, |content| content.now.len() as u64);
            let end = offset + bytes.len() as u64;
            state.take_space(end.saturating_sub(size))?;
            let content = state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
            if end > size {
                resize(&mut content.now, end)?;
            }
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            for (slot, byte) in content.now.iter_mut().skip(start).zip(bytes) {
                *slot = *byte;
            }
            content.unflushed.push((offset, bytes.to_vec()));
            state.counts.writes += 1;
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with_content(|content| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let rest = content.now.get(start..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            for (slot, byte) in buffer.iter_mut().zip(rest) {
                *slot = *byte;
            }
            Ok(read)
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with_content(|content| Ok(content.now.len() as u64))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.with_content(|content| resize(&mut content.now, bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.with(|state| {
            let size = state.contents.get(&self.id).map_or(0, |content| content.now.len() as u64);
            state.take_space(bytes.saturating_sub(size))?;
            let content = state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
            if bytes > size { resize(&mut content.now, bytes) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.held_syncs += 1;
        while state.holds > 0 && state.generation == self.generation {
            state = self.disk.0.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held_syncs -= 1;
        drop(state);
        self.with(|state| {
            let fails = state.failing_syncs > 0;
            state.failing_syncs = state.failing_syncs.saturating_sub(1);
            let content = state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
            content.unflushed.clear();
            if fails {
                return Err(io::Error::other("the simulated flush failed"));
            }
            content.durable = content.now.clone();
            state.counts.syncs += 1;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &SimulatedDisk, path: &Path) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        disk.open(path).unwrap().read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_crash_keeps_what_was_flushed_and_tears_the_rest() {
        let disk = SimulatedDisk::new();
        let path = Path::new("/d/a");
        let file = disk.create(path, 8).unwrap();
        file.write_at(0, b"ab").unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(2, b"cdef").unwrap();
        assert_eq!(disk.unflushed_bytes(path), 4);
        disk.crash(3);
        assert_eq!(read(&disk, path), b"abcde\0\0\0");
        assert!(file.write_at(0, b"x").is_err(), "the handle died with the machine");
        assert_eq!(disk.counts(), DiskCounts { writes: 2, syncs: 1 });
    }

    #[test]
    fn a_name_that_was_not_flushed_is_gone_after_a_crash() {
        let disk = SimulatedDisk::new();
        disk.create(Path::new("/d/a"), 8).unwrap().sync_data().unwrap();
        disk.crash(usize::MAX);
        assert_eq!(disk.open(Path::new("/d/a")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn full_disks_and_failed_flushes() {
        let disk = SimulatedDisk::new();
        disk.set_free_bytes(Some(8));
        let file = disk.create(Path::new("/d/a"), 8).unwrap();
        assert_eq!(disk.create(Path::new("/d/b"), 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.sync_dir(Path::new("/d")).unwrap();
        file.sync_data().unwrap();
        file.write_at(0, b"lost").unwrap();
        disk.fail_syncs(1);
        file.sync_data().unwrap_err();
        disk.crash(usize::MAX);
        assert_eq!(read(&disk, Path::new("/d/a")), [0; 8]);
    }
}
