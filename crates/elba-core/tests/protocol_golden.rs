//! The control protocol's golden files, as Rust reads and writes them;
//! tests/unit/dataplane/test_protocol_golden.py does the same in Python.

// Clippy sees tests only in `#[test]` functions; here all is test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use elba_core::protocol::{bucket_index, Down, Up, SUB_BUCKETS};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/protocol")
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".sparse.json").map(str::to_owned))
        .collect()
}

/// JSON knows one kind of number: 1 and 1.0 are the same.
fn normalized(value: Value) -> Value {
    match value {
        Value::Number(number) => serde_json::json!(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(normalized).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, normalized(value)))
            .collect(),
        other => other,
    }
}

#[derive(Debug, PartialEq)]
enum Message {
    Down(Box<Down>),
    Up(Box<Up>),
}

fn parse(value: Value) -> Message {
    match serde_json::from_value::<Down>(value.clone()) {
        Ok(down) => Message::Down(Box::new(down)),
        Err(_) => Message::Up(Box::new(serde_json::from_value(value).unwrap())),
    }
}

fn write(message: &Message) -> Value {
    match message {
        Message::Down(down) => serde_json::to_value(down),
        Message::Up(up) => serde_json::to_value(up),
    }
    .unwrap()
}

#[test]
fn full_form_reads_and_writes_alike() {
    let names = names();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let golden = read(&format!("{name}.json"));
        assert_eq!(
            normalized(write(&parse(golden.clone()))),
            normalized(golden),
            "{name}"
        );
    }
}

#[test]
fn sparse_form_says_the_same() {
    for name in names() {
        let sparse = parse(read(&format!("{name}.sparse.json")));
        assert_eq!(sparse, parse(read(&format!("{name}.json"))), "{name}");
    }
}

#[test]
fn buckets_are_those_of_the_control_plane() {
    let golden = read("buckets.json");
    assert_eq!(golden["sub_buckets"], SUB_BUCKETS);
    for pair in golden["micros_and_index"].as_array().unwrap() {
        let micros = pair[0].as_u64().unwrap();
        assert_eq!(
            u64::from(bucket_index(micros)),
            pair[1].as_u64().unwrap(),
            "{micros}"
        );
    }
}
