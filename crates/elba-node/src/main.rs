//! The zone node's program: arguments, the single-instance guard, threads.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use elba_core::compile::Compiled;
use elba_node::config_store::{load_all, Writer};
use elba_node::instance::{lock, LockError};
use elba_node::peers::DownZones;
use elba_node::problems::Problems;
use elba_node::{access_log, control, dns, handover, health, log, peers};
use serde_json::json;
use tokio::sync::watch;

const HELP: &str = "\
elba-node: carries the traffic of one Availability Zone of Elba and checks its targets.

Usage: elba-node --id ID --control SOCKET --data-dir FOLDER [--log-level LEVEL] [--takeover]

  --id ID            the node's name, which is its zone's: us-east-1a
  --control SOCKET   Unix socket on which the control plane connects; made for this user only
  --data-dir FOLDER  where the last configuration is kept; made if it is not there
  --log-level LEVEL  debug, info (default), warning or error; logs go to stderr as JSON lines
  --takeover         replace the node that runs on FOLDER, if there is one, without refusing a connection
  --version          the program's version
  --help             this text

SIGTERM and SIGINT let requests in flight finish, up to 30 seconds; a second one ends the node at once.
";

struct Options {
    id: String,
    control: PathBuf,
    data_dir: PathBuf,
    log_level: log::Level,
    takeover: bool,
}

enum Command {
    Run(Options),
    Say(String),
}

fn parse_arguments(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let (mut id, mut control, mut data_dir, mut log_level) = (None, None, None, log::Level::Info);
    let mut takeover = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Say(HELP.into())),
            "--version" | "-V" => {
                return Ok(Command::Say(format!("elba-node {}\n", env!("CARGO_PKG_VERSION"))))
            }
            "--takeover" if inline.is_none() => takeover = true,
            "--id" | "--control" | "--data-dir" | "--log-level" => {
                let value = inline
                    .or_else(|| arguments.next())
                    .filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| format!("{name} needs a value"))?;
                match name.as_str() {
                    "--id" => id = Some(value),
                    "--control" => control = Some(PathBuf::from(value)),
                    "--data-dir" => data_dir = Some(PathBuf::from(value)),
                    _ => {
                        log_level = log::Level::parse(&value).ok_or_else(|| {
                            format!("{value:?} is no log level: debug, info, warning or error")
                        })?;
                    }
                }
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(Command::Run(Options {
        id: id.ok_or("--id is missing")?,
        control: control.ok_or("--control is missing")?,
        data_dir: data_dir.ok_or("--data-dir is missing")?,
        log_level,
        takeover,
    }))
}

/// As many file descriptors as the system lets this process have.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls only read and write the struct they are given.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    if !raised {
        log::warning(
            "descriptor_limit_not_raised",
            json!({"reason": io::Error::last_os_error().to_string()}),
        );
    }
}

/// Runs `future` (made on the thread) on a runtime and thread of its own.
fn spawn_thread<F: Future<Output = ()>>(
    name: &str,
    future: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new().name(name.into()).spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, future());
    })?;
    Ok(())
}

fn run(options: Options) -> Result<(), String> {
    log::set_level(options.log_level);
    let folder = options.data_dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let (lock, predecessor) = match lock(&folder) {
        Ok(lock) => (Some(lock), None),
        Err(LockError::Taken(_)) if options.takeover => {
            let asked = handover::ask(&folder);
            (
                None,
                Some(asked.map_err(|error| format!("the running node hands nothing over: {error}"))?),
            )
        }
        Err(error) => return Err(error.to_string()),
    };
    raise_descriptor_limit();
    log::info(
        "started",
        json!({"node": options.id, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION")}),
    );

    let problems = Problems::default();
    let (stored, remembered) = load_all(&folder, &problems);
    let system = |error: io::Error| format!("cannot start: {error}");
    let store = Writer::start(folder.clone(), stored.clone(), problems.clone()).map_err(system)?;
    let compiled = watch::Sender::new(Arc::new(Compiled::empty()));
    let down = watch::Sender::new(DownZones::new(BTreeSet::new()));
    let stopping = watch::Sender::new(false);
    let table = health::Table::default();
    let access_log = access_log::start(&folder, compiled.subscribe(), problems.clone()).map_err(system)?;

    let (watched, checked, logged) = (compiled.subscribe(), table.clone(), access_log.0.clone());
    spawn_thread("elba-health", move || {
        health::run(watched, checked, remembered, logged)
    })
    .map_err(system)?;
    let (watched, seen, told, stop) = (
        compiled.subscribe(),
        table.clone(),
        down.subscribe(),
        stopping.subscribe(),
    );
    let (probed, noted, probing) = (compiled.subscribe(), problems.clone(), down.clone());
    spawn_thread("elba-names", move || async move {
        tokio::task::spawn_local(peers::run(probed, probing));
        dns::run(watched, seen, told, stop, noted).await;
    })
    .map_err(system)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system)?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let parts = control::Parts {
            id: options.id,
            control_path: options.control,
            folder,
            lock,
            predecessor,
            stored,
            store,
            compiled,
            health: table,
            down: down.subscribe(),
            stopping,
            problems,
            access_log,
        };
        control::run(parts).await
    })
}

fn main() -> ExitCode {
    let options = match parse_arguments(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Say(text)) => {
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            let _ = writeln!(io::stderr(), "elba-node: {reason}\nTry elba-node --help.");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            log::error("start_failed", json!({"reason": reason}));
            let _ = writeln!(io::stderr(), "elba-node: {reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Command, String> {
        parse_arguments(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments() {
        let Ok(Command::Run(options)) =
            parse("--id us-east-1a --control=/tmp/c --data-dir /tmp/d --log-level debug")
        else {
            panic!("not understood")
        };
        assert_eq!(options.id, "us-east-1a");
        assert_eq!(options.control, Path::new("/tmp/c"));
        assert_eq!(options.data_dir, Path::new("/tmp/d"));
        assert_eq!(options.log_level, log::Level::Debug);
        assert!(!options.takeover);
        assert!(matches!(parse("--version"), Ok(Command::Say(text)) if text.starts_with("elba-node ")));
        for (text, reason) in [
            ("", "--id is missing"),
            ("--id a --control c", "--data-dir is missing"),
            ("--id", "--id needs a value"),
            ("--nonsense", "unknown argument \"--nonsense\""),
            (
                "--log-level loud",
                "\"loud\" is no log level: debug, info, warning or error",
            ),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(reason));
        }
    }
}
