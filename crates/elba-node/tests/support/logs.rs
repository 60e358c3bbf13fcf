//! A node that logs, and what it has logged.
#![allow(clippy::unwrap_used)] // a test's helpers may panic: that is how it fails
#![allow(dead_code)] // each test file uses its part

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elba_core::compile::{compile, Compiled, Serves};
use elba_core::protocol;
use elba_node::access_log;
use elba_node::problems::Problems;
use flate2::read::GzDecoder;
use tokio::sync::watch;

use crate::support::{Node, LB, LIMIT};

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("elba-logs-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub struct Logged {
    pub node: Option<Node>,
    handle: access_log::Handle,
    pub compiled: watch::Sender<Arc<Compiled>>,
    /// as the health checks hold one, to the end of the process
    pub sender: access_log::Sender,
}

impl Logged {
    pub fn start(folder: &Folder, snapshot: protocol::Snapshot) -> Logged {
        let compiled = watch::Sender::new(Arc::new(compile(&snapshot, None).unwrap()));
        let (sender, handle) =
            access_log::start(&folder.0, compiled.subscribe(), Problems::default()).unwrap();
        let serves = Serves::Listener {
            load_balancer: LB.into(),
            port: snapshot.load_balancers[0].listeners[0].port,
        };
        let held = sender.clone();
        let node = Node::start_logging(snapshot, 1, serves, Some(sender));
        Logged {
            node: Some(node),
            handle,
            compiled,
            sender: held,
        }
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Ends the node; then all is written.
    pub fn stop(&mut self) {
        self.node.take().unwrap().stop();
        self.handle.finish(LIMIT);
    }
}

pub fn published(folder: &Folder) -> Vec<PathBuf> {
    let mut found = files(&folder.0.join("buckets"));
    found.retain(|path| path.to_string_lossy().ends_with(".log.gz"));
    found
}

pub fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The fields, quoted ones without their quotes.
pub fn fields(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted.split_once('"').unwrap();
                (field, after.strip_prefix(' ').unwrap_or(after))
            }
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        found.push(field.to_owned());
        rest = after;
    }
    found
}

/// With a connection log into `folder`.
pub fn with_connection_log(mut snapshot: protocol::Snapshot, folder: &Folder) -> protocol::Snapshot {
    snapshot.node.region = "us-east-1".into();
    snapshot.node.log_directory = folder.0.join("buckets").to_string_lossy().into_owned();
    let balancer = &mut snapshot.load_balancers[0];
    balancer.resource_id = "app/one/1".into();
    balancer.account = "000000000000".into();
    for (key, value) in [("enabled", "true"), ("bucket", "logs")] {
        balancer
            .attributes
            .insert(format!("connection_logs.s3.{key}"), value.into());
    }
    snapshot
}

/// The fields of the lines of the one file that was published, a connection log's.
pub fn connection_lines(folder: &Folder) -> Vec<Vec<String>> {
    let found = published(folder);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string_lossy().contains("/conn_log_000000000000_"));
    lines(&found[0]).iter().map(|line| fields(line)).collect()
}
