use super::*;

fn target(id: &str, state: &str) -> protocol::Target {
    protocol::Target {
        id: id.into(),
        port: 80,
        address: "127.0.0.9".into(),
        state: state.into(),
        ..Default::default()
    }
}

fn group(arn: &str, targets: Vec<protocol::Target>) -> protocol::TargetGroup {
    protocol::TargetGroup {
        arn: arn.into(),
        targets,
        ..Default::default()
    }
}

fn balancer(name: &str, ports: &[u16], group: &str) -> protocol::LoadBalancer {
    let listener = |port: &u16| protocol::Listener {
        arn: format!("{name}-{port}"),
        port: *port,
        rules: vec![protocol::Rule {
            actions: vec![protocol::Action {
                kind: "forward".into(),
                target_groups: vec![protocol::WeightedTargetGroup {
                    arn: group.into(),
                    weight: 1,
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    protocol::LoadBalancer {
        arn: name.into(),
        dns_name: format!("{name}.elb.localhost"),
        addresses: vec![protocol::ZoneAddress {
            zone: "a".into(),
            address: "127.0.1.1".into(),
        }],
        listeners: ports.iter().map(listener).collect(),
        ..Default::default()
    }
}

fn snapshot(
    load_balancers: Vec<protocol::LoadBalancer>,
    target_groups: Vec<protocol::TargetGroup>,
) -> protocol::Snapshot {
    protocol::Snapshot {
        node: protocol::Node {
            zone: "a".into(),
            ..Default::default()
        },
        load_balancers,
        target_groups,
        ..Default::default()
    }
}

#[test]
fn state_outlives_versions() {
    let one = snapshot(
        vec![balancer("lb", &[80], "tg")],
        vec![group("tg", vec![target("i-1", "active")])],
    );
    let first = compile(&one, None).unwrap();
    let state = first.target_group("tg").unwrap().targets[0].state.clone();
    state.set_health(Health::Healthy);
    state.request_began();
    let same = compile(&one, Some(&first)).unwrap();
    assert!(Arc::ptr_eq(
        first.target_group("tg").unwrap(),
        same.target_group("tg").unwrap()
    ));
    assert!(Arc::ptr_eq(&first.load_balancers[0], &same.load_balancers[0]));

    let mut two = one.clone();
    two.target_groups.insert(0, group("other", vec![]));
    two.target_groups[1].targets.push(target("i-2", "active"));
    let second = compile(&two, Some(&same)).unwrap();
    let kept = &second.target_group("tg").unwrap().targets[0].state;
    assert!(Arc::ptr_eq(kept, &state));
    assert_eq!((kept.health(), kept.outstanding()), (Health::Healthy, 1));
    assert!(
        Arc::ptr_eq(&first.load_balancers[0], &second.load_balancers[0]),
        "the group kept its slot"
    );

    two.target_groups[1].targets[0].address = "127.0.0.10".into();
    let third = compile(&two, Some(&second)).unwrap();
    assert!(!Arc::ptr_eq(
        &third.target_group("tg").unwrap().targets[0].state,
        &state
    ));
}

#[test]
fn a_load_balancer_follows_its_groups() {
    let without = snapshot(vec![balancer("lb", &[80], "tg")], vec![]);
    let first = compile(&without, None).unwrap();
    let with = snapshot(vec![balancer("lb", &[80], "tg")], vec![group("tg", vec![])]);
    let second = compile(&with, Some(&first)).unwrap();
    assert_eq!(second.load_balancers[0].references, [("tg".to_owned(), Some(0))]);
    assert_eq!(second.groups().next().unwrap().1.count(), 1);
}

#[test]
fn a_draining_target_that_leaves_is_cut() {
    let draining = snapshot(
        vec![],
        vec![group(
            "tg",
            vec![target("i-1", "draining"), target("i-2", "active")],
        )],
    );
    let first = compile(&draining, None).unwrap();
    let gone = compile(&snapshot(vec![], vec![group("tg", vec![])]), Some(&first)).unwrap();
    assert_eq!(
        gone.cut
            .iter()
            .map(|state| state.key.as_str())
            .collect::<Vec<_>>(),
        ["i-1:80"]
    );
    let removed = compile(&snapshot(vec![], vec![]), Some(&first)).unwrap();
    assert!(removed.cut.is_empty());
}

#[test]
fn front_door() {
    let all = snapshot(
        vec![
            balancer("one", &[80, 81], "tg"),
            balancer("two", &[80], "tg"),
            balancer("three", &[80], "tg"),
        ],
        vec![],
    );
    let mut all = all;
    all.load_balancers[2].listeners[0].rules.push(protocol::Rule {
        priority: 1,
        conditions: vec![protocol::Condition {
            field: "host-header".into(),
            values: vec!["*.shop.example".into()],
            ..Default::default()
        }],
        ..Default::default()
    });
    let compiled = compile(&all, None).unwrap();
    let found = |port: u16, host: &str| {
        compiled
            .find_front_door(port, (!host.is_empty()).then_some(host.as_bytes()), false)
            .map(|place| compiled.load_balancer_at(place).source.arn.clone())
    };
    assert_eq!(found(80, "TWO.elb.localhost:80").as_deref(), Some("two"));
    assert_eq!(found(81, "two.elb.localhost"), None);
    assert_eq!(found(81, "whatever").as_deref(), Some("one"));
    assert_eq!(found(80, "www.Shop.example").as_deref(), Some("three"));
    assert_eq!(
        (
            found(80, "whatever"),
            found(80, ""),
            found(9, "one.elb.localhost")
        ),
        (None, None, None)
    );
    let binds: Vec<String> = compiled
        .binds()
        .iter()
        .map(|bind| bind.address.to_string())
        .collect();
    assert_eq!(
        binds,
        [
            "127.0.0.1:80",
            "127.0.0.1:81",
            "127.0.1.1:80",
            "127.0.1.1:80",
            "127.0.1.1:80",
            "127.0.1.1:81"
        ]
    );
}

#[test]
fn what_cannot_be_served_is_said_and_left_out() {
    let mut bad = snapshot(
        vec![balancer("lb", &[443], "tg")],
        vec![group("tg", vec![target("i", "active")])],
    );
    bad.load_balancers[0].listeners[0].protocol = "HTTPS".into();
    bad.target_groups[0].targets[0].address = "nowhere".into();
    let compiled = compile(&bad, None).unwrap();
    assert_eq!(compiled.problems.len(), 2, "{:?}", compiled.problems);
    assert_eq!(compiled.binds(), []);
    let twice = snapshot(vec![], vec![group("tg", vec![]), group("tg", vec![])]);
    assert!(compile(&twice, None).is_err());
}

#[test]
fn networks() {
    let inside =
        |network: &str, address: &str| Cidr::parse(network).unwrap().contains(address.parse().unwrap());
    assert!(inside("10.0.0.0/8", "10.255.0.1") && !inside("10.0.0.0/8", "11.0.0.1"));
    assert!(inside("0.0.0.0/0", "1.2.3.4") && !inside("0.0.0.0/0", "::1"));
    assert!(inside("2001:db8::/32", "2001:db8:1::") && inside("1.2.3.4", "1.2.3.4"));
    assert_eq!((Cidr::parse("10.0.0.0/33"), Cidr::parse("x/8")), (None, None));
}

#[test]
fn draining_shifted_and_foreign_targets_are_not_eligible() {
    let of = |id: &str, state: &str, zone: &str, shifted: bool| protocol::Target {
        zone: zone.into(),
        shifted,
        ..target(id, state)
    };
    let targets = vec![
        of("i-1", "active", "a", false),
        of("i-2", "draining", "a", false),
        of("i-3", "active", "b", false),
        of("i-4", "active", "b", true),
        of("10.0.0.1", "active", "all", false),
    ];
    for (cross_zone, expected) in [(true, "i-1 i-3 10.0.0.1"), (false, "i-1 10.0.0.1")] {
        let group = protocol::TargetGroup {
            cross_zone,
            ..group("tg", targets.clone())
        };
        let compiled = compile(&snapshot(vec![balancer("lb", &[80], "tg")], vec![group]), None).unwrap();
        let group = compiled.target_group("tg").unwrap();
        let ids = group
            .eligible
            .iter()
            .map(|index| group.targets[*index as usize].source.id.as_str());
        assert_eq!(ids.collect::<Vec<_>>().join(" "), expected);
    }
}
