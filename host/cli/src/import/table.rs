//! A CSV file with named columns, plain or gzipped, bounded, with the line of each record.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use weft_core::id;

/// The largest file, unpacked, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// The most errors that are told at once.
const MAX_PROBLEMS: usize = 20;

/// What is wrong with a file of data. Client fault.
#[derive(Debug, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct FileError {
    /// Each as `file:line: what`.
    problems: Vec<String>,
}

impl FileError {
    fn whole(path: &Path, message: impl std::fmt::Display) -> Self {
        Self { problems: vec![format!("{}: {message}", path.display())] }
    }
}

/// Collects the problems of several files, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<String>,
    more: usize,
}

impl Problems {
    pub fn add(&mut self, table: &Table, line: u64, message: impl std::fmt::Display) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(format!("{}:{line}: {message}", table.path.display()));
        } else {
            self.more += 1;
        }
    }

    pub fn finish(mut self) -> Result<(), FileError> {
        if self.found.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.found.push(format!("and {} more", self.more));
        }
        Err(FileError { problems: self.found })
    }
}

/// A file's records: the columns that were asked for, in that order.
#[derive(Debug)]
pub(super) struct Table {
    /// Where it was read from.
    pub path: PathBuf,
    /// SHA-256 of the unpacked file, in hex.
    pub digest: String,
    records: Vec<(u64, Vec<String>)>,
}

impl Table {
    /// Reads `<folder>/<stem>.csv` or `<folder>/<stem>.csv.gz`.
    pub fn read(folder: &Path, stem: &str, columns: &[&str]) -> Result<Self, FileError> {
        let plain = folder.join(format!("{stem}.csv"));
        let packed = folder.join(format!("{stem}.csv.gz"));
        let (path, is_packed) = if plain.exists() || !packed.exists() { (plain, false) } else { (packed, true) };
        let bytes = read_bounded(&path, is_packed).map_err(|error| FileError::whole(&path, error))?;
        Self::parse(path, &bytes, columns)
    }

    fn parse(path: PathBuf, bytes: &[u8], columns: &[&str]) -> Result<Self, FileError> {
        let digest = id::digest(bytes);
        // Spreadsheets put a byte-order mark in front.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let at = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
        let wrong =
            |line: u64, message: String| FileError { problems: vec![format!("{}:{line}: {message}", path.display())] };
        let header = reader.headers().map_err(|error| wrong(at(&error), reason(&error)))?.clone();
        let place = |column: &&str| {
            header.iter().position(|name| name == *column).ok_or_else(|| {
                let found: Vec<&str> = header.iter().collect();
                wrong(1, format!("there is no column {column:?}; the columns are {}", found.join(", ")))
            })
        };
        let places = columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| wrong(at(&error), reason(&error)))?;
            let line = record.position().map_or(0, csv::Position::line);
            let fields = places.iter().map(|place| record.get(*place).unwrap_or_default().to_owned()).collect();
            records.push((line, fields));
        }
        Ok(Self { path, digest, records })
    }

    /// Each record with its line. `N` is the number of columns that were asked for.
    pub fn rows<const N: usize>(&self) -> impl Iterator<Item = (u64, [&str; N])> {
        self.records.iter().map(|(line, fields)| {
            let mut fields = fields.iter().map(String::as_str);
            (*line, std::array::from_fn(|_| fields.next().unwrap_or_default()))
        })
    }
}

fn read_bounded(path: &Path, is_packed: bool) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    let read = |reader: &mut dyn Read, bytes: &mut Vec<u8>| reader.take(MAX_FILE_BYTES + 1).read_to_end(bytes);
    if is_packed {
        read(&mut MultiGzDecoder::new(file), &mut bytes)?
    } else {
        read(&mut &file, &mut bytes)?
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The error without its position, which stands before it.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the record has {len} fields, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn parse(text: &str, columns: &[&str]) -> Result<Table, String> {
        Table::parse("d/x.csv".into(), text.as_bytes(), columns).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_found_by_name_and_records_know_their_line() {
        let table = parse("\u{feff}\"b\",a,c\n1, 2 ,3\n\"x\ny\",5,6\n7,8,9\n", &["a", "b"]).unwrap();
        let rows: Vec<_> = table.rows::<2>().collect();
        assert_eq!(rows, [(2, ["2", "1"]), (3, ["5", "x\ny"]), (5, ["8", "7"])]);
    }

    #[test]
    fn errors_name_file_and_line() {
        assert_eq!(parse("a,b\n", &["c"]).unwrap_err(), "d/x.csv:1: there is no column \"c\"; the columns are a, b");
        assert_eq!(parse("a,b\n1,2\n3\n", &["a"]).unwrap_err(), "d/x.csv:3: the record has 1 fields, the header 2");
        let latin = Table::parse("d/x.csv".into(), b"a\n\xe4\n", &["a"]).unwrap_err().to_string();
        assert_eq!(latin, "d/x.csv:2: not UTF-8");
    }

    #[test]
    fn a_packed_file_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"a\n1\n2\n";
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text).unwrap();
        std::fs::write(folder.path().join("x.csv.gz"), packer.finish().unwrap()).unwrap();
        let packed = Table::read(folder.path(), "x", &["a"]).unwrap();
        std::fs::write(folder.path().join("x.csv"), text).unwrap();
        let plain = Table::read(folder.path(), "x", &["a"]).unwrap();
        assert_eq!((packed.digest, packed.records), (plain.digest, plain.records));
        assert_ne!(packed.path, plain.path);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Table::read(Path::new("/nowhere"), "x", &["a"]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/x.csv: No such file"), "{error}");
    }

    #[test]
    fn not_every_one_of_many_problems_is_told() {
        let table = parse("a\n", &["a"]).unwrap();
        let mut problems = Problems::default();
        for line in 0..30 {
            problems.add(&table, line, "bad");
        }
        let error = problems.finish().unwrap_err().to_string();
        assert_eq!(error.lines().count(), MAX_PROBLEMS + 1);
        assert!(error.ends_with("d/x.csv:19: bad\nand 10 more"), "{error}");
        Problems::default().finish().unwrap();
    }
}
