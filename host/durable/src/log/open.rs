//! Opening a log: its lock, its segments in order, the torn end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use weft_core::disk::{Disk, DiskFile};

use super::frame::{self, SegmentHead};
use super::scan::{End, Window};
use super::writer::{Start, Writer};
use super::{Log, LogError, LogOptions, MARK, Opened, Record, Shared, Torn};

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: LogOptions,
    visit: &mut dyn FnMut(Record),
) -> Result<(Log, Opened), LogError> {
    let dir_error = |doing: &str, error: io::Error| LogError::io(doing, dir, &error);
    disk.create_dir(dir).map_err(|error| dir_error("make", error))?;
    let lock = disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => LogError::Locked { dir: dir.to_owned() },
        _ => dir_error("lock", error),
    })?;
    let names = disk.list(dir).map_err(|error| dir_error("list", error))?;
    let bases: Vec<u64> = names.iter().filter_map(|name| base_of(name)).collect();
    let shared = Shared { disk, dir: dir.to_owned(), options, segments: Mutex::new(BTreeMap::new()) };
    let mut opened = Opened::default();
    let start = read_segments(&shared, &bases, visit, &mut opened)?;
    let shared = Arc::new(shared);
    let writer = Writer::start(Arc::clone(&shared), start);
    // With this record, all before it are known to have been flushed.
    writer.mark_durable()?;
    Ok((Log { shared, writer, _lock: lock }, opened))
}

fn base_of(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".log").filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok()
}

fn read_segments(
    shared: &Shared,
    bases: &[u64],
    visit: &mut dyn FnMut(Record),
    opened: &mut Opened,
) -> Result<Start, LogError> {
    let mut end = None;
    let mut following = bases.iter().skip(1);
    for base in bases {
        let next = following.next();
        let path = shared.path(*base);
        let failed = |error: io::Error| shared.io_error("read", *base, &error);
        let file = shared.disk.open(&path).map_err(failed)?;
        let mut window = Window::new(Arc::clone(&file), *base);
        let head = window.get(0, frame::SEGMENT_HEADER).map_err(failed)?;
        match frame::parse_segment_header(head, *base) {
            SegmentHead::Good => {}
            SegmentHead::Unknown(found) => return Err(LogError::Version { segment: path, found }),
            // Records are written only after the header is durable, so this segment was never used.
            SegmentHead::Bad if next.is_none() && is_unused(&mut window).map_err(failed)? => {
                drop_unused(shared, *base)?;
                break;
            }
            SegmentHead::Bad => return Err(LogError::Corrupt { segment: path, offset: 0 }),
        }
        let mut count = |record: Record| {
            if record.kind != MARK {
                opened.records += 1;
                visit(record);
            }
        };
        let length = next.map(|next| next - base);
        let found = window.scan(length, &mut count, &mut opened.quarantined).map_err(failed)?;
        let offset = match found {
            End::Clean(offset) => offset,
            End::Torn { offset, written_to } => {
                cut(&*file, offset).map_err(|error| shared.io_error("cut the torn end of", *base, &error))?;
                opened.torn = Some(Torn { segment: path, offset, bytes: written_to - offset });
                offset
            }
            End::Corrupt(offset) => return Err(LogError::Corrupt { segment: path, offset }),
        };
        if let Err(error) = file.forget_read() {
            tracing::debug!(%error, segment = %shared.path(*base).display(), "its copy in memory stays");
        }
        shared.segments().insert(*base, file);
        end = Some(Start { segment: *base, end: base + offset });
    }
    match end {
        Some(start) => Ok(start),
        None => {
            shared.make_segment(0, 0)?;
            Ok(Start { segment: 0, end: frame::SEGMENT_HEADER as u64 })
        }
    }
}

/// Whether no whole record follows the header.
fn is_unused(window: &mut Window) -> io::Result<bool> {
    let frame = window.frame(frame::SEGMENT_HEADER as u64)?;
    Ok(!matches!(frame, frame::Frame::Good { .. }))
}

fn drop_unused(shared: &Shared, base: u64) -> Result<(), LogError> {
    let removed = shared.disk.remove(&shared.path(base)).and_then(|()| shared.disk.sync_dir(&shared.dir));
    removed.map_err(|error| shared.io_error("remove", base, &error))
}

fn cut(file: &dyn DiskFile, offset: u64) -> io::Result<()> {
    let size = file.size()?;
    file.truncate(offset)?;
    file.allocate(size)?;
    file.sync_data()
}
