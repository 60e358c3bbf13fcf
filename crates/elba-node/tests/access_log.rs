//! The access log through real sockets: what is written of each kind of request, and where.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;
#[path = "support/logs.rs"]
mod support_logs;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use elba_core::protocol;
use support::*;
use support_logs::*;

fn fixed(status: u16) -> protocol::Action {
    protocol::Action {
        kind: "fixed-response".into(),
        fixed_response: Some(protocol::FixedResponse {
            status,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn path_is(path: &str) -> Vec<protocol::Condition> {
    vec![protocol::Condition {
        field: "path-pattern".into(),
        values: vec![path.into()],
        ..Default::default()
    }]
}

/// A snapshot that logs into `folder`, with a rule of each kind.
fn logging(folder: &Folder, target: std::net::SocketAddr) -> protocol::Snapshot {
    let mut snapshot = snapshot(&[target]);
    snapshot.node.region = "us-east-1".into();
    snapshot.node.log_directory = folder.0.join("buckets").to_string_lossy().into_owned();
    let balancer = &mut snapshot.load_balancers[0];
    balancer.name = "one".into();
    balancer.resource_id = "app/one/1".into();
    balancer.account = "000000000000".into();
    for (key, value) in [("enabled", "true"), ("bucket", "logs"), ("prefix", "my/lb")] {
        balancer
            .attributes
            .insert(format!("access_logs.s3.{key}"), value.into());
    }
    let redirect = protocol::Action {
        kind: "redirect".into(),
        redirect: Some(protocol::Redirect {
            path: "/new".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    balancer.listeners[0].rules = vec![
        rule(1, path_is("/none"), fixed(404)),
        rule(2, path_is("/old"), redirect),
        rule(3, path_is("/empty"), forward(&[("empty", 1)])),
        rule(4, path_is("/dead"), forward(&[("dead", 1)])),
        rule(0, vec![], forward(&[("tg", 1)])),
    ];
    for (arn, targets) in [("empty", vec![]), ("dead", vec![support::target(nobody())])] {
        snapshot.target_groups.push(protocol::TargetGroup {
            arn: arn.into(),
            targets,
            ..Default::default()
        });
    }
    snapshot
}

#[test]
fn each_kind_of_request_is_logged() {
    let folder = Folder::new("kinds");
    let target = Target::answering(|request| {
        if request.line.contains("/slow") {
            std::thread::sleep(Duration::from_secs(1));
        }
        ok("hello")
    });
    let mut logged = Logged::start(&folder, logging(&folder, target.address));
    let node = logged.node();
    let request = "GET /a?b=c HTTP/1.1\r\nHost: Shop.Example:81\r\nUser-Agent: a \"b\"\r\n\r\n";
    let mut client = node.connect();
    client.send(request);
    let answered = client.response();
    assert_eq!(answered.status, 200);
    let upload = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde";
    client.send(upload);
    assert_eq!(client.response().status, 200);
    let trace = target.last().field("x-amzn-trace-id").unwrap().to_owned();
    for (path, status) in [("/none", 404), ("/old", 301), ("/empty", 503), ("/dead", 502)] {
        assert_eq!(node.get(path).status, status);
    }
    assert_eq!(
        node.ask("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n")
            .status,
        400
    );
    assert_eq!(node.ask("\x16\x03\x01\r\n\r\n").status, 400);
    let mut gone = node.connect();
    gone.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    let end = Instant::now() + LIMIT;
    while target.count() < 3 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(gone);
    assert_eq!(node.counted("HTTPCode_ELB_4XX_Count", 4.0), 4.0);
    logged.stop();

    let found = published(&folder);
    assert_eq!(found.len(), 1, "{found:?}");
    let name = found[0]
        .strip_prefix(folder.0.join("buckets/logs"))
        .unwrap()
        .to_string_lossy()
        .into_owned();
    assert!(
        name.starts_with("my/lb/AWSLogs/000000000000/elasticloadbalancing/us-east-1/20"),
        "{name}"
    );
    assert!(
        name.contains("/000000000000_elasticloadbalancing_us-east-1_app.one.1_20"),
        "{name}"
    );
    let all: Vec<Vec<String>> = lines(&found[0]).iter().map(|line| fields(line)).collect();
    assert!(all.iter().all(|line| line.len() == 33), "{all:?}");
    let statuses: Vec<&str> = all.iter().map(|line| line[8].as_str()).collect();
    assert_eq!(
        statuses,
        ["200", "200", "404", "301", "503", "502", "400", "400", "460"]
    );

    let first = &all[0];
    let address = target.address.to_string();
    assert_eq!((first[0].as_str(), first[2].as_str()), ("http", "app/one/1"));
    assert!(first[3].starts_with("127.0.0.1:"));
    assert_eq!([&first[4], &first[25]], [&address, &address]);
    assert!(first[5..8].iter().all(|time| time.starts_with("0.")), "{first:?}");
    assert_eq!([&first[9], &first[26]], ["200", "200"]);
    assert_eq!(first[10], request.len().to_string());
    assert!(first[11].parse::<usize>().unwrap() > "HTTP/1.1 200 OK\r\n\r\nhello".len());
    assert_eq!(first[12], "GET http://Shop.Example:80/a?b=c HTTP/1.1");
    assert_eq!(first[13], "a \\x22b\\x22");
    assert_eq!(first[16], "tg");
    assert_eq!((first[20].as_str(), first[22].as_str()), ("0", "forward"));
    assert!(first[21] <= first[1] && first[1].len() == 27);
    let second = &all[1];
    assert_eq!(second[17], trace);
    assert_eq!(second[10], upload.len().to_string());
    assert_eq!(first[29], second[29]);
    assert!(first[29].starts_with("TID_") && first[29].len() == 36);

    let fixed = &all[2];
    assert_eq!(fixed[4..8], ["-", "-1", "-1", "-1"]);
    assert_eq!(
        (fixed[9].as_str(), fixed[20].as_str(), fixed[22].as_str()),
        ("-", "1", "fixed-response")
    );
    assert!(fixed[17].starts_with("Root=1-"));
    assert_ne!(fixed[29], first[29]);
    assert_eq!(all[3][22..24], ["redirect", "http://h:80/new"]);
    assert_eq!((all[4][4].as_str(), all[4][16].as_str()), ("-", "empty"));
    assert_eq!(all[5][5..10], ["-1", "-1", "-1", "502", "-"]);
    assert_eq!(all[5][16], "dead");
    assert_eq!(all[6][20], "-");
    assert_eq!(all[6][27..29], ["Severe", "BadContentLength"]);
    assert_eq!(all[7][12], "- http://one-1.us-east-1.elb.localhost:80- -");
    let gone = &all[8];
    assert!(gone[5].starts_with("0.") && gone[4] == address);
    assert_eq!(gone[6..8], ["-1", "-1"]);
    assert_eq!((gone[9].as_str(), gone[11].as_str()), ("-", "0"));

    // the same lines for those who watch, and the object that AWS puts there first
    let tail = fs::read_to_string(folder.0.join("access/one.1.log")).unwrap();
    assert_eq!(tail.lines().count(), 9);
    let test_object = folder
        .0
        .join("buckets/logs/my/lb/AWSLogs/000000000000/ELBAccessLogTestFile");
    assert!(fs::read_to_string(test_object)
        .unwrap()
        .contains("ELB: one at 20"));
}

#[test]
fn files_are_published_as_intervals_of_the_clock_end() {
    let folder = Folder::new("intervals");
    let target = Target::saying("x");
    let mut snapshot = logging(&folder, target.address);
    // five minutes in half a second
    snapshot.node.clock.scale = 600.0;
    let mut logged = Logged::start(&folder, snapshot);
    let end = Instant::now() + LIMIT;
    let mut asked = 0;
    while published(&folder).len() < 2 && Instant::now() < end {
        assert_eq!(logged.node().get("/").status, 200);
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    logged.stop();
    let found = published(&folder);
    assert!(found.len() >= 2);
    let count: usize = found.iter().map(|path| lines(path).len()).sum();
    assert_eq!(count, asked);
    assert_eq!(
        files(&folder.0.join("access")).len(),
        1,
        "no unfinished file is left"
    );
}

#[test]
fn what_a_bucket_does_not_take_waits_for_it() {
    let folder = Folder::new("waits");
    let target = Target::saying("x");
    let mut snapshot = logging(&folder, target.address);
    snapshot.node.clock.scale = 600.0;
    // no folder can be made there; and a node that died had this process's number
    let in_the_way = folder.0.join("buckets");
    fs::write(&in_the_way, "").unwrap();
    fs::create_dir_all(folder.0.join("access")).unwrap();
    let left = folder.0.join(format!("access/{}.left.part", std::process::id()));
    fs::write(&left, "").unwrap();
    let mut logged = Logged::start(&folder, snapshot);
    let mut asked = 0;
    let mut ask_until = |done: &dyn Fn() -> bool| {
        let end = Instant::now() + LIMIT;
        while !done() && Instant::now() < end {
            assert_eq!(logged.node().get("/").status, 200);
            asked += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let parts = || {
        let mut found = files(&folder.0.join("access"));
        found.retain(|path| path.extension().is_some_and(|kind| kind == "part"));
        found.len()
    };
    ask_until(&|| parts() == 3);
    assert!(!left.exists());
    fs::remove_file(&in_the_way).unwrap();
    ask_until(&|| published(&folder).len() > 3);
    logged.stop();
    let count: usize = published(&folder).iter().map(|path| lines(path).len()).sum();
    assert_eq!((count, parts()), (asked, 0));
}

#[test]
fn only_what_is_asked_for_is_logged() {
    let folder = Folder::new("off");
    let target = Target::saying("x");
    let mut snapshot = logging(&folder, target.address);
    snapshot.load_balancers[0]
        .attributes
        .insert("access_logs.s3.enabled".into(), "false".into());
    let mut logged = Logged::start(&folder, snapshot);
    assert_eq!(logged.node().get("/").status, 200);
    logged.stop();
    assert_eq!(files(&folder.0), Vec::<PathBuf>::new());
}

#[test]
fn a_prefix_does_not_lead_out_of_its_bucket() {
    let folder = Folder::new("prefix");
    let target = Target::saying("x");
    let mut snapshot = logging(&folder, target.address);
    snapshot.load_balancers[0]
        .attributes
        .insert("access_logs.s3.prefix".into(), "../../../outside".into());
    let mut logged = Logged::start(&folder, snapshot);
    assert_eq!(logged.node().get("/").status, 200);
    logged.stop();
    assert!(published(&folder)[0].starts_with(folder.0.join("buckets/logs/outside/AWSLogs")));
    drop(logged.compiled);
}
