//! Which instance a client on this machine is. A program that does not bind its instance's address connects from
//! 127.0.0.1 like any other; whose it is, the system knows: the socket's inode, the process that holds it, and the
//! ELBA_ADDRESS in that process's environment. Asked only when a security group would otherwise turn the client away.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const VARIABLE: &[u8] = b"ELBA_ADDRESS=";

/// The address of the instance whose program connected from `peer` to `port`; None if it is no instance's.
pub fn instance_address(peer: SocketAddr, port: u16) -> Option<IpAddr> {
    let SocketAddr::V4(peer) = peer else { return None };
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inodes: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|line| inode_of(line, *peer.ip(), peer.port(), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        if !process
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit)
        {
            continue;
        }
        let Some(address) = fs::read(process.path().join("environ"))
            .ok()
            .and_then(|environment| address_in(&environment))
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = |file: fs::DirEntry| {
            fs::read_link(file.path())
                .is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == &**inode))
        };
        if files.flatten().any(holds) {
            return Some(address);
        }
    }
    None
}

/// The inode of the socket that a line of /proc/net/tcp describes, if it is the client's.
fn inode_of(line: &str, ip: Ipv4Addr, port: u16, remote_port: u16) -> Option<&str> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = words.next()?;
    let remote = words.next()?;
    // the address as the machine's own number, in hexadecimal
    let expected = format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()));
    let (_, remote) = remote.split_once(':')?;
    (local == expected && u16::from_str_radix(remote, 16) == Ok(remote_port)).then_some(())?;
    words.nth(6)
}

fn address_in(environment: &[u8]) -> Option<IpAddr> {
    let entry = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(VARIABLE))?;
    std::str::from_utf8(entry).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    #[test]
    fn a_client_is_known_by_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r _ <&3");
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .env("ELBA_ADDRESS", "127.20.0.9")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(instance_address(peer, port), Some("127.20.0.9".parse().unwrap()));
        assert_eq!(instance_address(peer, port.wrapping_add(1)), None);
        drop(stream);
        child.wait().unwrap();
        // one of no instance: this test itself, unless it runs inside one
        let mut own = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        if std::env::var_os("ELBA_ADDRESS").is_none() {
            assert_eq!(instance_address(peer, port), None);
        }
        drop(stream);
        own.read_to_end(&mut Vec::new()).unwrap();
    }
}
