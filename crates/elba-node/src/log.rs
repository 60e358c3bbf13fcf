//! One JSON line per event on stderr. Fields: `time`, `level`, `event`, then the event's own (`resource` = an ARN).
//! Nothing here can fail or stop the node: a closed stderr loses the line.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use serde_json::Value;

use crate::clock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Debug = 0,
    Info = 1,
    /// Will be tried again.
    Warning = 2,
    /// A person is needed.
    Error = 3,
}

impl Level {
    pub fn parse(text: &str) -> Option<Level> {
        Some(match text.to_ascii_lowercase().as_str() {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warning" | "warn" => Level::Warning,
            "error" => Level::Error,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

static LOWEST: AtomicU8 = AtomicU8::new(Level::Info as u8);

pub fn set_level(level: Level) {
    LOWEST.store(level as u8, Relaxed);
}

/// Writes `event` (a plain word) with `fields` (a JSON object; anything else is shown as `value`).
pub fn event(level: Level, event: &str, fields: Value) {
    if (level as u8) < LOWEST.load(Relaxed) {
        return;
    }
    let mut text = format!(
        r#"{{"time":"{}","level":"{}","event":"{event}""#,
        clock::format_utc(clock::world_now()),
        level.name()
    );
    let rest = match fields {
        Value::Object(fields) if fields.is_empty() => "}".to_owned(),
        Value::Object(fields) => Value::Object(fields).to_string().replacen('{', ",", 1),
        Value::Null => "}".to_owned(),
        other => format!(",\"value\":{other}}}"),
    };
    text.push_str(&rest);
    text.push('\n');
    // One write per line, so that lines of several nodes on one terminal do not mix.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

pub fn debug(name: &str, fields: Value) {
    event(Level::Debug, name, fields);
}

pub fn info(name: &str, fields: Value) {
    event(Level::Info, name, fields);
}

pub fn warning(name: &str, fields: Value) {
    event(Level::Warning, name, fields);
}

pub fn error(name: &str, fields: Value) {
    event(Level::Error, name, fields);
}
