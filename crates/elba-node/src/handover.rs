//! Replacing a running node by a new program without refusing or resetting a connection: the old one hands its
//! listening sockets over, the new one puts the same configuration in force on them, then the old one drains.
//!
//! ```text
//!   successor                                old node
//!   connect ───────────────────────────────► stores what it knows, refuses changes from now on
//!           ◄── one packet per address, with its sockets (SCM_RIGHTS), then "done"
//!   serves  ── "ready" ────────────────────► lets go of lock and control socket
//!           ◄── "bye"                        drains
//!   takes the lock, listens for the control plane
//!           ◄── counts since the last report, at the end
//! ```
//! If the successor goes away before "ready", the old node goes on as if nothing had been.

use std::io;
use std::mem::{size_of, MaybeUninit};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use elba_core::compile::{Bind, Serves};
use elba_core::protocol::{LoadBalancerReport, TargetReport};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

/// How long either side waits for the other's next step.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// The kernel's SCM_MAX_FD.
const MAX_DESCRIPTORS: usize = 253;
const MAX_PACKET_BYTES: usize = 128 * 1024;

/// The sockets of all addresses that a node listens on.
pub type Listeners = Vec<(Bind, Vec<TcpListener>)>;

/// Counts that the old node could not report any more.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Leftover {
    pub load_balancers: Vec<LoadBalancerReport>,
    pub targets: Vec<TargetReport>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
enum Packet {
    Address {
        address: std::net::SocketAddr,
        /// None = the front door
        load_balancer: Option<String>,
        port: u16,
    },
    Done,
    Ready,
    Bye,
    Leftover(Leftover),
}

fn path(folder: &Path) -> PathBuf {
    folder.join("handover")
}

fn protocol_error(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the other node did not say {what}"),
    )
}

/// One end of a handover: a SOCK_SEQPACKET connection.
#[derive(Debug)]
pub struct Stream(Socket);

impl Stream {
    fn new(socket: Socket) -> io::Result<Stream> {
        socket.set_read_timeout(Some(STEP_TIMEOUT))?;
        socket.set_write_timeout(Some(STEP_TIMEOUT))?;
        Ok(Stream(socket))
    }

    fn send(&self, packet: &Packet, descriptors: &[RawFd]) -> io::Result<()> {
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::Error::other(
                "more sockets on one address than can be handed over",
            ));
        }
        let mut bytes = serde_json::to_vec(packet)?;
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // u64s, so that the buffer is aligned for a cmsghdr.
        let mut control = [0_u64; control_words()];
        // SAFETY: an all-zero msghdr is valid; every pointer put in it points to a live local of the length given, and
        // the control buffer has room for MAX_DESCRIPTORS, which was checked above.
        let sent = unsafe {
            let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            if !descriptors.is_empty() {
                let size = size_of_val(descriptors) as u32;
                message.msg_control = control.as_mut_ptr().cast();
                message.msg_controllen = libc::CMSG_SPACE(size) as _;
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(size) as _;
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                std::ptr::copy_nonoverlapping(descriptors.as_ptr(), data, descriptors.len());
            }
            libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn receive(&self) -> io::Result<(Packet, Vec<OwnedFd>)> {
        let mut bytes = vec![0_u8; MAX_PACKET_BYTES];
        let mut part = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let mut control = [0_u64; control_words()];
        let mut descriptors = Vec::new();
        // SAFETY: as in `send`; the descriptors that the kernel puts into the control buffer are new and ours alone.
        let received = unsafe {
            let mut message: libc::msghdr = MaybeUninit::zeroed().assume_init();
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control) as _;
            let received = libc::recvmsg(self.0.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if received < 0 {
                return Err(io::Error::last_os_error());
            }
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                    let length = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                    let data = libc::CMSG_DATA(header).cast::<RawFd>();
                    for n in 0..length / size_of::<RawFd>() {
                        descriptors.push(OwnedFd::from_raw_fd(data.add(n).read_unaligned()));
                    }
                }
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
            if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a packet was cut short",
                ));
            }
            received as usize
        };
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((serde_json::from_slice(&bytes[..received])?, descriptors))
    }

    /// Old node: gives the sockets and waits until the successor serves on them.
    ///
    /// # Errors
    /// When the successor goes away or takes too long: the old node then goes on.
    pub fn give(&self, listeners: &Listeners) -> io::Result<()> {
        for (bind, sockets) in listeners {
            let (load_balancer, port) = match &bind.serves {
                Serves::Listener { load_balancer, port } => (Some(load_balancer.clone()), *port),
                Serves::FrontDoor { port } => (None, *port),
            };
            let packet = Packet::Address {
                address: bind.address,
                load_balancer,
                port,
            };
            let descriptors: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
            self.send(&packet, &descriptors)?;
        }
        self.send(&Packet::Done, &[])?;
        match self.receive()? {
            (Packet::Ready, _) => Ok(()),
            _ => Err(protocol_error("ready")),
        }
    }

    /// Old node: has let go of lock and control socket.
    ///
    /// # Errors
    /// When the successor is gone.
    pub fn say_bye(&self) -> io::Result<()> {
        self.send(&Packet::Bye, &[])
    }

    /// Old node, at its end.
    ///
    /// # Errors
    /// When the successor is gone.
    pub fn leave(&self, leftover: Leftover) -> io::Result<()> {
        self.send(&Packet::Leftover(leftover), &[])
    }

    /// Successor: the sockets.
    fn take(&self) -> io::Result<Listeners> {
        let mut listeners = Vec::new();
        loop {
            let (packet, descriptors) = self.receive()?;
            match packet {
                Packet::Address {
                    address,
                    load_balancer,
                    port,
                } => {
                    let serves = match load_balancer {
                        Some(load_balancer) => Serves::Listener { load_balancer, port },
                        None => Serves::FrontDoor { port },
                    };
                    let sockets = descriptors.into_iter().map(TcpListener::from).collect();
                    listeners.push((Bind { address, serves }, sockets));
                }
                Packet::Done => return Ok(listeners),
                _ => return Err(protocol_error("done")),
            }
        }
    }

    /// Successor: serves; returns once lock and control socket are free.
    ///
    /// # Errors
    /// When the old node is gone or takes too long.
    pub fn say_ready(&self) -> io::Result<()> {
        self.send(&Packet::Ready, &[])?;
        match self.receive()? {
            (Packet::Bye, _) => Ok(()),
            _ => Err(protocol_error("bye")),
        }
    }

    /// Successor: waits for what the old node counted last.
    ///
    /// # Errors
    /// When the old node ended without a word.
    pub fn wait_for_leftover(&self) -> io::Result<Leftover> {
        self.0.set_read_timeout(None)?;
        match self.receive()? {
            (Packet::Leftover(leftover), _) => Ok(leftover),
            _ => Err(protocol_error("what is left")),
        }
    }
}

const fn control_words() -> usize {
    // SAFETY: CMSG_SPACE only computes.
    let bytes = unsafe { libc::CMSG_SPACE((MAX_DESCRIPTORS * size_of::<RawFd>()) as u32) } as usize;
    bytes.div_ceil(size_of::<u64>())
}

/// Where successors ask. Dropping it takes the name away only if it is still ours.
#[derive(Debug)]
pub struct Door(Socket);

impl Door {
    /// # Errors
    /// Whatever the system says.
    pub fn open(folder: &Path) -> io::Result<Door> {
        let path = path(folder);
        let _ = std::fs::remove_file(&path);
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        socket.listen(1)?;
        Ok(Door(socket))
    }

    /// The next successor of our own user or root.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn wait(&self) -> io::Result<Stream> {
        loop {
            let (socket, _) = self.0.accept()?;
            if peer_may_take_over(&socket) {
                return Stream::new(socket);
            }
        }
    }
}

fn peer_may_take_over(socket: &Socket) -> bool {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: getsockopt writes at most `length` bytes into the struct; geteuid cannot fail.
    unsafe {
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        );
        result == 0 && (credentials.uid == libc::geteuid() || credentials.uid == 0)
    }
}

/// Successor: asks the node on this data directory for its sockets.
///
/// # Errors
/// When there is none, or it does not understand.
pub fn ask(folder: &Path) -> io::Result<(Stream, Listeners)> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.connect(&SockAddr::unix(path(folder))?)?;
    let stream = Stream::new(socket)?;
    let listeners = stream.take()?;
    Ok((stream, listeners))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("elba-handover-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    #[test]
    fn sockets_and_what_waits_in_them_change_hands() {
        let folder = folder("hands");
        let door = Door::open(&folder.0).unwrap();
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let bind = Bind {
            address: listeners[0].local_addr().unwrap(),
            serves: Serves::Listener {
                load_balancer: "lb".into(),
                port: 80,
            },
        };
        let door_bind = Bind {
            address: listeners[2].local_addr().unwrap(),
            serves: Serves::FrontDoor { port: 80 },
        };
        let mut client = TcpStream::connect(bind.address).unwrap();
        client.write_all(b"hello").unwrap();
        let expected = [bind.clone(), door_bind.clone()];
        let old = std::thread::spawn(move || {
            let stream = door.wait().unwrap();
            let mut listeners = listeners;
            let front = listeners.split_off(2);
            let all = vec![(bind, listeners), (door_bind, front)];
            stream.give(&all).unwrap();
            drop(all);
            stream.say_bye().unwrap();
            stream.leave(Leftover::default()).unwrap();
        });
        let (stream, taken) = ask(&folder.0).unwrap();
        assert_eq!([taken[0].0.clone(), taken[1].0.clone()], expected);
        assert_eq!((taken[0].1.len(), taken[1].1.len()), (2, 1));
        stream.say_ready().unwrap();
        assert!(stream.wait_for_leftover().unwrap().targets.is_empty());
        old.join().unwrap();
        let (mut accepted, _) = taken[0].1[0].accept().unwrap();
        let mut text = [0; 5];
        accepted.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
    }

    #[test]
    fn a_successor_that_goes_away_is_told_to_the_old_node() {
        let folder = folder("away");
        let door = Door::open(&folder.0).unwrap();
        let old = std::thread::spawn(move || door.wait().unwrap().give(&Vec::new()));
        drop(ask(&folder.0).unwrap());
        assert!(old.join().unwrap().is_err());
    }

    #[test]
    fn nobody_to_ask_is_an_error() {
        let folder = folder("nobody");
        assert!(ask(&folder.0).is_err());
    }
}
