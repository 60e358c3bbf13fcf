//! Cookies that keep a client on its target or in its group.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::time::Duration;

use elba_core::compile::Health;
use elba_core::protocol;
use support::*;

fn sticky(targets: &[&Target], change: impl Fn(&mut protocol::TargetGroup)) -> protocol::Snapshot {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let mut snapshot = snapshot(&addresses);
    snapshot.load_balancers[0].cookie_keys = vec![protocol::CookieKey {
        id: "1".into(),
        secret: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into(),
    }];
    snapshot.target_groups[0].stickiness_enabled = true;
    change(&mut snapshot.target_groups[0]);
    snapshot
}

/// The first part of every Set-Cookie line that `get` brings, sent with these cookies.
fn cookies_after(node: &Node, cookies: &str) -> (String, Vec<String>) {
    let mut client = node.connect();
    let cookie = if cookies.is_empty() {
        String::new()
    } else {
        format!("Cookie: {cookies}\r\n")
    };
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{cookie}\r\n"));
    let mut raw = Vec::new();
    let mut line = String::new();
    use std::io::BufRead;
    while line != "\r\n" {
        line.clear();
        client.reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Set-Cookie: ") {
            raw.push(value.trim_end().to_owned());
        }
    }
    let mut body = [0; 1];
    use std::io::Read;
    client.reader.read_exact(&mut body).unwrap();
    ((body[0] as char).to_string(), raw)
}

fn pair(set_cookie: &str) -> String {
    set_cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn duration_cookies_keep_a_client_on_its_target() {
    let targets = [Target::saying("0"), Target::saying("1"), Target::saying("2")];
    let node = Node::start(sticky(&[&targets[0], &targets[1], &targets[2]], |_| {}));
    let (first, cookies) = cookies_after(&node, "");
    assert_eq!(cookies.len(), 2);
    assert!(
        cookies[0].starts_with("AWSALB=") && cookies[0].ends_with(" GMT; Path=/"),
        "{cookies:?}"
    );
    assert!(
        cookies[1].starts_with("AWSALBCORS=") && cookies[1].ends_with("; Path=/; SameSite=None"),
        "{cookies:?}"
    );
    for cookie in [pair(&cookies[0]), pair(&cookies[1])] {
        for _ in 0..4 {
            let (body, again) = cookies_after(&node, &cookie);
            assert_eq!((body.as_str(), again.len()), (first.as_str(), 2));
        }
    }
    assert_eq!(node.counted("NonStickyRequestCount", 1.0), 1.0);
    // the target fails: another one is picked, and remembered
    let index: usize = first.parse().unwrap();
    node.compiled().target_group("tg").unwrap().targets[index]
        .state
        .set_health(Health::Unhealthy);
    let (second, cookies) = cookies_after(&node, &pair(&cookies[0]));
    assert_ne!(second, first);
    node.compiled().target_group("tg").unwrap().targets[index]
        .state
        .set_health(Health::Healthy);
    for _ in 0..4 {
        assert_eq!(cookies_after(&node, &pair(&cookies[0])).0, second);
    }
    assert_eq!(cookies_after(&node, "AWSALB=nonsense").1.len(), 2);
}

#[test]
fn duration_cookies_expire() {
    let targets = [Target::saying("0"), Target::saying("1")];
    let node = Node::start(sticky(&[&targets[0], &targets[1]], |group| {
        group.stickiness_seconds = 1.0
    }));
    let (_, cookies) = cookies_after(&node, "");
    std::thread::sleep(Duration::from_millis(2300));
    let bodies: Vec<String> = (0..4)
        .map(|_| cookies_after(&node, &pair(&cookies[0])).0)
        .collect();
    assert!(
        bodies.iter().any(|body| body == "0") && bodies.iter().any(|body| body == "1"),
        "{bodies:?}"
    );
}

#[test]
fn application_cookies() {
    let saying = |body: &'static str| {
        Target::answering(move |request| {
            let cookie = if request.field("cookie").is_none() {
                "Set-Cookie: app=x\r\n"
            } else {
                ""
            };
            format!("HTTP/1.1 200 OK\r\n{cookie}Content-Length: 1\r\n\r\n{body}").into_bytes()
        })
    };
    let targets = [saying("0"), saying("1")];
    let node = Node::start(sticky(&[&targets[0], &targets[1]], |group| {
        group.stickiness_type = "app_cookie".into();
        group.app_cookie_name = "app".into();
    }));
    let (first, cookies) = cookies_after(&node, "");
    assert_eq!(cookies[0], "app=x");
    assert!(
        cookies[1].starts_with("AWSALBAPP-0=") && cookies.len() == 2,
        "{cookies:?}"
    );
    for _ in 0..4 {
        let (body, again) = cookies_after(&node, &format!("app=y; {}", pair(&cookies[1])));
        assert_eq!((body, again.len()), (first.clone(), 1));
    }
    let (_, removed) = cookies_after(&node, "other=1");
    assert_eq!(removed.len(), 4);
    assert!(
        removed[3].starts_with("AWSALBAPP-3=_remove_; Expires="),
        "{removed:?}"
    );
}

#[test]
fn group_cookies_keep_a_client_in_its_group() {
    let targets = [Target::saying("0"), Target::saying("1")];
    let mut snapshot = sticky(&[&targets[0]], |group| group.stickiness_enabled = false);
    snapshot.target_groups.push(protocol::TargetGroup {
        arn: "tg2".into(),
        targets: vec![target(targets[1].address)],
        ..Default::default()
    });
    let mut action = forward(&[("tg", 1), ("tg2", 1)]);
    action.group_stickiness_seconds = Some(100.0);
    snapshot.load_balancers[0].listeners[0].rules[0] = rule(0, vec![], action);
    let node = Node::start(snapshot);
    let (first, cookies) = cookies_after(&node, "");
    assert!(
        cookies[0].starts_with("AWSALBTG=") && cookies[1].starts_with("AWSALBTGCORS="),
        "{cookies:?}"
    );
    for _ in 0..12 {
        assert_eq!(
            cookies_after(&node, &pair(&cookies[1]).replace("CORS", "")).0,
            first
        );
    }
}
