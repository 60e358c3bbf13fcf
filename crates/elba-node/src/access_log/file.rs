//! The files of one log: a compressed one that goes into its bucket's folder, and an uncompressed tail.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use elba_core::access_log::{root, FileName, Kind};
use elba_core::compile::{AccessLog, Compiled, LoadBalancer};
use elba_core::lines::Lines;
use elba_core::log_gzip::Gzip;
use elba_core::{access_log, connection_log, health_check_log};

use super::to_clock;
use crate::clock;

/// A tail longer than this becomes `.1`, which replaces the one before.
const TAIL_BYTES: u64 = 8 << 20;
/// Compressed bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// Compressed bytes that are held while the disk takes none; what is logged beyond is lost.
const UNWRITTEN_MOST: usize = 1 << 20;
/// Files that wait for their bucket's folder to take them: an hour's. Then the oldest goes.
const SEALED_MOST: usize = 12;

/// The log of one load balancer.
pub(super) struct Log {
    pub(super) kind: Kind,
    pub(super) balancer: Arc<LoadBalancer>,
    /// number of the interval, counted from the epoch
    pub(super) interval: u64,
    part: Option<Part>,
    /// ended, each with its end in clock seconds, and not yet in the bucket's folder
    sealed: VecDeque<(Part, u64)>,
    tail: Option<(File, u64)>,
    tail_path: PathBuf,
    pub(super) lines: Lines,
}

/// An unfinished compressed file.
struct Part {
    path: PathBuf,
    file: File,
    gzip: Gzip,
}

impl Part {
    fn create(folder: &Path) -> io::Result<Part> {
        let path = folder.join(format!("{}.{}.part", std::process::id(), random_name()));
        Ok(Part {
            file: File::create(&path)?,
            path,
            gzip: Gzip::default(),
        })
    }

    /// Takes the fresh lines, and writes once there is enough. Lines that it does not take remain fresh.
    fn add(&mut self, lines: &mut Lines) -> io::Result<()> {
        if self.gzip.output.len() < UNWRITTEN_MOST {
            self.gzip.add(lines);
        }
        if self.gzip.output.len() < WRITE_BYTES {
            return Ok(());
        }
        self.write()
    }

    /// Writes what is compressed; what could not be written is written the next time.
    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            let rest = &self.gzip.output[written..];
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.gzip.output.drain(..written);
        result
    }
}

/// The path without what would lead out of where it is put.
fn inside(path: &str) -> PathBuf {
    Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn random_name() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and length are those of `bytes`. Without random bytes the name is only less unique.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 31)]))
        .collect()
}

pub(super) fn put_test_object(
    compiled: &Compiled,
    balancer: &LoadBalancer,
    place: &AccessLog,
) -> io::Result<()> {
    let folder = Path::new(&compiled.node.log_directory)
        .join(inside(&place.bucket))
        .join(inside(&root(&place.prefix, &balancer.source.account)));
    let path = folder.join("ELBAccessLogTestFile");
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    let now = to_clock(&compiled.node.clock, clock::world_now());
    let (name, time) = (&balancer.source.name, clock::format_utc(now));
    fs::write(path, format!("Enable AccessLog for ELB: {name} at {time}"))
}

impl Log {
    /// `folder`: for its tail.
    pub(super) fn new(kind: Kind, folder: &Path, balancer: Arc<LoadBalancer>, interval: u64) -> Log {
        let name = balancer.source.resource_id.trim_start_matches("app/");
        Log {
            kind,
            interval,
            part: None,
            sealed: VecDeque::new(),
            tail: None,
            tail_path: folder.join(format!("{}.log", name.replace('/', "."))),
            lines: Lines::new(match kind {
                Kind::Access => access_log::FIELDS,
                Kind::Connection => connection_log::FIELDS,
                Kind::HealthCheck => health_check_log::FIELDS,
            }),
            balancer,
        }
    }

    pub(super) fn write(&mut self, folder: &Path, has_buckets: bool) -> io::Result<()> {
        let tail = self.write_tail(folder);
        let part = match has_buckets {
            true => self.write_part(folder),
            false => Ok(()),
        };
        // what is not in the file cannot be referred to there by what comes next
        if !self.lines.fresh().is_empty() {
            self.lines.use_up(0);
        }
        tail.and(part)
    }

    fn write_part(&mut self, folder: &Path) -> io::Result<()> {
        let part = match &mut self.part {
            Some(part) => part,
            None => {
                fs::create_dir_all(folder)?;
                self.part.insert(Part::create(folder)?)
            }
        };
        part.add(&mut self.lines)
    }

    fn write_tail(&mut self, folder: &Path) -> io::Result<()> {
        let (tail, length) = match &mut self.tail {
            Some(tail) => tail,
            None => {
                fs::create_dir_all(folder)?;
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.tail_path)?;
                let length = file.metadata()?.len();
                self.tail.insert((file, length))
            }
        };
        let lines = self.lines.fresh();
        tail.write_all(lines)?;
        *length += lines.len() as u64;
        if *length > TAIL_BYTES {
            self.tail = None;
            // some file systems write a file to the disk at once that is renamed over another
            let _ = fs::remove_file(self.tail_path.with_extension("log.1"));
            fs::rename(&self.tail_path, self.tail_path.with_extension("log.1"))?;
        }
        Ok(())
    }

    /// Ends the compressed file; what is logged next is in another. `end`: clock seconds.
    pub(super) fn seal(&mut self, end: u64) {
        let Some(mut part) = self.part.take() else {
            return;
        };
        part.gzip.finish();
        // another file cannot refer to what is in this one
        self.lines.use_up(0);
        if self.sealed.len() == SEALED_MOST {
            let oldest = self.sealed.pop_front();
            let _ = oldest.map(|(part, _)| fs::remove_file(part.path));
        }
        self.sealed.push_back((part, end));
    }

    pub(super) fn is_published(&self) -> bool {
        self.sealed.is_empty()
    }

    /// Moves the files that have ended to their bucket's folder. What fails is tried again the next time.
    pub(super) fn publish(&mut self, compiled: &Compiled) -> io::Result<()> {
        while let Some((mut part, end)) = self.sealed.pop_front() {
            let result = part.write().and_then(|()| self.give(compiled, &part.path, end));
            if result.is_err() {
                self.sealed.push_front((part, end));
                return result;
            }
        }
        Ok(())
    }

    fn give(&self, compiled: &Compiled, part: &Path, end: u64) -> io::Result<()> {
        let Some(place) = self.balancer.attributes.log(self.kind) else {
            return fs::remove_file(part);
        };
        let source = &self.balancer.source;
        let address = self.balancer.address_in(&compiled.node.zone);
        let key = FileName {
            kind: self.kind,
            prefix: &place.prefix,
            account: &source.account,
            region: &compiled.node.region,
            load_balancer: &source.resource_id,
            end,
            address: &address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string()),
            random: &random_name(),
        }
        .key();
        let path = Path::new(&compiled.node.log_directory)
            .join(inside(&place.bucket))
            .join(inside(&key));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::rename(part, &path).is_err() {
            // another file system
            let half = path.with_extension("half");
            fs::copy(part, &half)?;
            fs::rename(&half, &path)?;
            fs::remove_file(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use elba_core::access_log::Second;
    use elba_core::health::Outcome;

    use super::*;

    #[test]
    fn a_file_is_whole_after_a_full_disk() {
        let name = format!("elba-part-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut part = Part::create(&std::env::temp_dir()).unwrap();
        fs::rename(&part.path, &path).unwrap();
        let good = std::mem::replace(
            &mut part.file,
            OpenOptions::new().write(true).open("/dev/full").unwrap(),
        );
        let mut lines = Lines::new(health_check_log::FIELDS);
        let (mut random, mut wanted, mut lost) = (1u64, Vec::new(), 0);
        let mut push = |lines: &mut Lines| {
            for _ in 0..100 {
                let mut target = String::new();
                for _ in 0..20 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    target.push_str(&format!("{:08x}", random >> 32));
                }
                let line = health_check_log::Line {
                    kind: "http",
                    time: 0,
                    latency: 0,
                    target: &target,
                    target_group: "group",
                    outcome: Outcome::Pass,
                    code: Some(200),
                };
                health_check_log::push_line(lines, &mut Second::default(), &line);
            }
        };
        for _ in 0..200 {
            push(&mut lines);
            let text = lines.fresh().to_vec();
            let result = part.add(&mut lines);
            if lines.fresh().is_empty() {
                wanted.extend(text);
            } else {
                assert!(result.is_err());
                lost += 1;
                lines.use_up(0);
            }
        }
        assert!(lost > 20 && part.gzip.output.len() < 2 * UNWRITTEN_MOST, "{lost}");
        part.file = good;
        part.write().unwrap();
        for _ in 0..20 {
            push(&mut lines);
            wanted.extend_from_slice(lines.fresh());
            part.add(&mut lines).unwrap();
            assert!(lines.fresh().is_empty());
        }
        part.gzip.finish();
        part.write().unwrap();
        let mut text = Vec::new();
        let file = File::open(&path).unwrap();
        flate2::read::GzDecoder::new(file).read_to_end(&mut text).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(text == wanted);
    }
}
