//! The control socket: who may connect, and frames in and out. What they mean is `control`'s.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use elba_core::protocol::{Down, Up, MAX_FRAME_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// A control plane that does not read for so long is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the control plane closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("a frame of {0} bytes is longer than {MAX_FRAME_BYTES}")]
    TooLong(u32),
    #[error("a frame is no message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the control plane did not read for {} seconds", WRITE_TIMEOUT.as_secs())]
    Stalled,
}

/// Listens on `path`, for this user only. A socket file nobody listens on any more is replaced.
///
/// # Errors
/// `AddrInUse` when another process listens there; whatever the system says otherwise.
pub async fn listen(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        match UnixStream::connect(path).await {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens there",
                ))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    // Closed to others from the first moment: the mode is set before the name is the final one.
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = Path::new(&hidden);
    let _ = std::fs::remove_file(hidden);
    let listener = UnixListener::bind(hidden)?;
    std::fs::set_permissions(hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(hidden, path)?;
    Ok(listener)
}

/// The peer's uid if it may give orders: our own user or root.
pub fn authorize(stream: &UnixStream) -> Result<u32, String> {
    let peer = stream
        .peer_cred()
        .map_err(|error| format!("its credentials cannot be read: {error}"))?
        .uid();
    // SAFETY: geteuid has no arguments and cannot fail.
    let own = unsafe { libc::geteuid() };
    if peer == own || peer == 0 {
        Ok(peer)
    } else {
        Err(format!("uid {peer} may not control a node of uid {own}"))
    }
}

/// The next message.
///
/// # Errors
/// Any `LinkError`; the connection is of no use afterwards.
pub async fn read(stream: &mut OwnedReadHalf) -> Result<Down, LinkError> {
    let length = match stream.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(LinkError::Closed),
        Err(error) => return Err(error.into()),
    };
    if length > MAX_FRAME_BYTES {
        return Err(LinkError::TooLong(length));
    }
    // Memory grows with what comes, not with what is announced.
    let mut frame = Vec::with_capacity(length.min(64 * 1024) as usize);
    stream.take(u64::from(length)).read_to_end(&mut frame).await?;
    if frame.len() < length as usize {
        return Err(LinkError::Closed);
    }
    Ok(serde_json::from_slice(&frame)?)
}

/// `message` as a frame.
///
/// # Errors
/// A message that JSON cannot hold or that is too long: a bug of ours.
pub fn frame(message: &Up) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4)
        .ok()
        .filter(|length| *length <= MAX_FRAME_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the message is longer than a frame may be"))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Writes a frame whole.
///
/// # Errors
/// `LinkError::Stalled` or `Broken`.
pub async fn write(stream: &mut OwnedWriteHalf, frame: &[u8]) -> Result<(), LinkError> {
    match timeout(WRITE_TIMEOUT, stream.write_all(frame)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(LinkError::Stalled),
    }
}
