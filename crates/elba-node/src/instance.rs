//! The single-instance guard: one node per data directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another node runs on {0}")]
    Taken(String),
    #[error("cannot lock {0}: {1}")]
    System(String, io::Error),
}

/// The lock that makes this the only node on its data directory, for as long as the file is open.
///
/// # Errors
/// `Taken` when another process holds it.
pub fn lock(folder: &Path) -> Result<File, LockError> {
    let path = folder.join("lock");
    let system = |error| LockError::System(path.display().to_string(), error);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(system)?;
    // SAFETY: flock on a descriptor that `file` keeps open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let error = io::Error::last_os_error();
        return Err(match error.kind() {
            io::ErrorKind::WouldBlock => LockError::Taken(folder.display().to_string()),
            _ => system(error),
        });
    }
    // For people: the lock is what counts.
    let _ = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}
