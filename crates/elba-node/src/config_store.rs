//! What a node knows, on disk: its last good configuration and the health it saw. With them a restarted node serves
//! before, and without, any control plane.
//!
//! A thread of its own keeps a copy of the configuration, applies the same deltas to it and writes it, at most once
//! per `WRITE_PAUSE`: neither a burst of deltas nor a slow disk holds up the control link.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use elba_core::delta;
use elba_core::protocol::{Delta, HealthReport, Snapshot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::log;
use crate::problems::Problems;

const CONFIG_FILE: &str = "config.json";
const HEALTH_FILE: &str = "health.json";
const FORMAT: u32 = 1;
/// How far apart writes are at least: a lone change is written at once, those of a burst together.
/// Ten times as far as a write takes, if that is more.
const WRITE_PAUSE: Duration = Duration::from_millis(200);
const WRITE_PAUSE_SHARE: u32 = 10;

#[derive(Serialize)]
struct StoredRef<'a, T> {
    format: u32,
    content: &'a T,
}

#[derive(Deserialize)]
struct Stored<T> {
    format: u32,
    content: T,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("{path} is corrupt ({reason}); it was set aside as {path}.corrupt")]
    Corrupt { path: PathBuf, reason: String },
}

/// The stored value, or None if there is no file. A corrupt file is set aside, for a person to look at.
fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LoadError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(LoadError::Read {
                path: path.to_owned(),
                error,
            })
        }
    };
    let reason = match serde_json::from_slice::<Stored<T>>(&bytes) {
        Ok(stored) if stored.format == FORMAT => return Ok(Some(stored.content)),
        Ok(stored) => format!("its format is {}, this program reads {FORMAT}", stored.format),
        Err(error) => error.to_string(),
    };
    let _ = fs::rename(path, path.with_extension("json.corrupt"));
    Err(LoadError::Corrupt {
        path: path.to_owned(),
        reason,
    })
}

/// Replaces the file as a whole, readable by its owner only: configurations hold private keys.
fn write_atomically<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(&StoredRef {
        format: FORMAT,
        content,
    })
    .map_err(io::Error::other)?;
    let temporary = path.with_extension("json.tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// What was stored; problems are noted and stand for "nothing".
pub fn load_all(folder: &Path, problems: &Problems) -> (Option<Snapshot>, Vec<HealthReport>) {
    let config =
        load::<Snapshot>(&folder.join(CONFIG_FILE)).and_then(|found| match found.map(delta::accept) {
            None => Ok(None),
            Some(Ok(snapshot)) => Ok(Some(snapshot)),
            Some(Err(error)) => Err(LoadError::Corrupt {
                path: folder.join(CONFIG_FILE),
                reason: error.to_string(),
            }),
        });
    let config = config.unwrap_or_else(|error| {
        log::error("stored_config_unusable", json!({"reason": error.to_string()}));
        problems.set("config_store.load", error.to_string());
        None
    });
    let health = load(&folder.join(HEALTH_FILE)).unwrap_or_else(|error| {
        log::warning("stored_health_unusable", json!({"reason": error.to_string()}));
        None
    });
    (config, health.unwrap_or_default())
}

pub enum Change {
    Snapshot(Box<Snapshot>),
    Delta(Box<Delta>),
    Health(Vec<HealthReport>),
}

/// Hands changes to the writing thread. Dropping it without `finish` may lose the last `WRITE_PAUSE`.
pub struct Writer {
    changes: Option<Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(folder: PathBuf, known: Option<Snapshot>, problems: Problems) -> io::Result<Writer> {
        let (changes, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("elba-store".into())
            .spawn(move || Replica::new(folder, known, problems).run(&received))?;
        Ok(Writer {
            changes: Some(changes),
            thread: Some(thread),
        })
    }

    pub fn put(&self, change: Change) {
        if let Some(changes) = &self.changes {
            // Only a dead thread refuses, and it has logged why.
            let _ = changes.send(change);
        }
    }

    /// Writes what is still to be written.
    pub fn finish(mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Replica {
    folder: PathBuf,
    config: Option<Snapshot>,
    config_is_dirty: bool,
    health: Vec<HealthReport>,
    health_is_dirty: bool,
    problems: Problems,
}

impl Replica {
    fn new(folder: PathBuf, config: Option<Snapshot>, problems: Problems) -> Self {
        Replica {
            folder,
            config,
            config_is_dirty: false,
            health: Vec::new(),
            health_is_dirty: false,
            problems,
        }
    }

    fn run(mut self, changes: &Receiver<Change>) {
        let mut due: Option<Instant> = None;
        let mut earliest = Instant::now();
        loop {
            let now = Instant::now();
            // Looked at first: an endless burst must not keep everything from the disk.
            if due.is_some_and(|at| at <= now) {
                let is_written = self.write();
                earliest = Instant::now() + WRITE_PAUSE.max(now.elapsed() * WRITE_PAUSE_SHARE);
                due = (!is_written).then_some(earliest + 10 * WRITE_PAUSE);
                continue;
            }
            let next = match due {
                None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => changes.recv_timeout(at - now),
            };
            match next {
                Ok(change) => {
                    self.take(change);
                    due.get_or_insert(earliest);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Snapshot(snapshot) => {
                self.config = Some(*snapshot);
                self.config_is_dirty = true;
            }
            Change::Delta(delta) => {
                let version = delta.version;
                let base = self.config.get_or_insert_with(Snapshot::default);
                // It was applied to an equal configuration before, so this cannot fail but by a bug of ours.
                match delta::apply(base, *delta) {
                    Ok(_) => self.config_is_dirty = true,
                    Err(error) => {
                        let reason = error.to_string();
                        log::error("config_not_stored", json!({"version": version, "reason": reason}));
                    }
                }
            }
            Change::Health(health) => {
                self.health = health;
                self.health_is_dirty = true;
            }
        }
    }

    /// True if all that was dirty is written.
    fn write(&mut self) -> bool {
        if self.config_is_dirty {
            if let Some(config) = &self.config {
                self.config_is_dirty = !self.done(
                    CONFIG_FILE,
                    write_atomically(&self.folder.join(CONFIG_FILE), config),
                );
            }
        }
        if self.health_is_dirty {
            let result = write_atomically(&self.folder.join(HEALTH_FILE), &self.health);
            self.health_is_dirty = !self.done(HEALTH_FILE, result);
        }
        !self.config_is_dirty && !self.health_is_dirty
    }

    fn done(&self, file: &str, result: io::Result<()>) -> bool {
        let problem = format!("config_store.write.{file}");
        match result {
            Ok(()) => {
                self.problems.clear(&problem);
                true
            }
            Err(error) => {
                let text = format!("cannot write {}: {error}", self.folder.join(file).display());
                if self.problems.set(&problem, text.clone()) {
                    log::warning("store_write_failed", json!({"reason": text}));
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elba_core::protocol::TargetGroup;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("elba-store-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn snapshot(version: u64) -> Snapshot {
        Snapshot {
            version,
            ..Snapshot::default()
        }
    }

    #[test]
    fn snapshot_and_deltas_come_back() {
        let folder = Folder::new("back");
        let problems = Problems::default();
        let writer = Writer::start(folder.0.clone(), None, problems.clone()).unwrap();
        writer.put(Change::Snapshot(Box::new(snapshot(4))));
        for version in 5..105 {
            writer.put(Change::Delta(Box::new(Delta {
                base: version - 1,
                version,
                put_target_groups: vec![TargetGroup {
                    arn: format!("tg{version}"),
                    ..TargetGroup::default()
                }],
                ..Delta::default()
            })));
        }
        writer.put(Change::Health(vec![HealthReport {
            target: "i-1:80".into(),
            ..HealthReport::default()
        }]));
        writer.finish();
        let (config, health) = load_all(&folder.0, &problems);
        let config = config.unwrap();
        assert_eq!((config.version, config.target_groups.len()), (104, 100));
        assert_eq!(health[0].target, "i-1:80");
        let mode = fs::metadata(folder.0.join(CONFIG_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(problems.all().is_empty());
    }

    #[test]
    fn nothing_stored_is_nothing_and_no_problem() {
        let folder = Folder::new("nothing");
        let problems = Problems::default();
        let (config, health) = load_all(&folder.0, &problems);
        assert!(config.is_none() && health.is_empty() && problems.all().is_empty());
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_told() {
        let folder = Folder::new("corrupt");
        for text in [
            "",
            "{\"format\":1,\"content\":{\"version\":",
            "[]",
            "{\"format\":99,\"content\":{}}",
            "\u{0}",
        ] {
            fs::write(folder.0.join(CONFIG_FILE), text).unwrap();
            let problems = Problems::default();
            assert!(load_all(&folder.0, &problems).0.is_none());
            assert_eq!(problems.all().len(), 1, "{text:?}");
            assert!(folder.0.join("config.json.corrupt").exists());
            assert!(!folder.0.join(CONFIG_FILE).exists());
        }
    }
}
