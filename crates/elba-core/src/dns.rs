//! DNS answers for load balancer names: a packet in, a packet out. Pure; the node owns the sockets and the choice of
//! zones (`crate::zones`).
//!
//! Authoritative for a few domains only. A for names we have; other types, and AAAA, of such names are empty with SOA;
//! unknown names below our domains are NXDOMAIN; foreign names are REFUSED. Malformed packets get FORMERR, or nothing
//! when not even the header is there or they are themselves answers. Sources: RFC 1035, 2308, 6891, 8482.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// Our own EDNS payload size: what passes unfragmented nearly everywhere (DNS flag day 2020).
pub const EDNS_PAYLOAD_BYTES: usize = 1232;
const PLAIN_UDP_BYTES: usize = 512;
const MAX_NAME_BYTES: usize = 255;
const HEADER_BYTES: usize = 12;

const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_SOA: u16 = 6;
const TYPE_OPT: u16 = 41;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ResponseCode {
    NoError = 0,
    FormatError = 1,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,
    BadVersion = 16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A name as on the wire (length-prefixed labels, ending in the empty one), in lower case.
type WireName = Vec<u8>;

/// `name` ("a.example.com", a trailing dot allowed) as on the wire; None if a label is empty or too long.
fn wire_name(name: &str) -> Option<WireName> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        wire.push(label.len() as u8);
        wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    }
    wire.push(0);
    (wire.len() <= MAX_NAME_BYTES).then_some(wire)
}

/// What is after the first label; None for the root.
fn parent(name: &[u8]) -> Option<&[u8]> {
    match name.first() {
        None | Some(0) => None,
        Some(&length) => name.get(1 + usize::from(length)..),
    }
}

/// Everything we answer for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    addresses: HashMap<WireName, Vec<Ipv4Addr>>,
    /// Names that exist only because one below them does.
    parents: HashSet<WireName>,
    domains: HashSet<WireName>,
    ttl_seconds: u32,
    serial: u32,
}

impl Zone {
    pub fn new(ttl_seconds: u32, serial: u32) -> Self {
        Zone {
            ttl_seconds,
            serial,
            ..Zone::default()
        }
    }

    /// Makes us authoritative for `domain` and all below it.
    pub fn add_domain(&mut self, domain: &str) {
        if let Some(domain) = wire_name(domain) {
            self.domains.insert(domain);
        }
    }

    /// Puts the addresses of `name`; names that DNS cannot carry are left out.
    pub fn add_name(&mut self, name: &str, addresses: Vec<Ipv4Addr>) {
        if let Some(name) = wire_name(name) {
            self.addresses.insert(name, addresses);
        }
    }

    /// To be called once after all names are in.
    pub fn finish(&mut self) {
        let mut parents = HashSet::new();
        for name in self.addresses.keys() {
            let mut rest = parent(name);
            while let Some(above) = rest {
                if self.addresses.contains_key(above) || self.domains.contains(above) || above.len() <= 1 {
                    break;
                }
                parents.insert(above.to_vec());
                rest = parent(above);
            }
        }
        self.parents = parents;
    }

    /// The longest of our domains that `name` is or lies under.
    fn domain_of<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let mut at = Some(name);
        while let Some(candidate) = at {
            if self.domains.contains(candidate) {
                return Some(candidate);
            }
            at = parent(candidate);
        }
        None
    }
}

struct Question {
    /// Lower case, for look-up.
    name: WireName,
    /// The question section as it came, for the echo (0x20 case is kept).
    start: usize,
    end: usize,
    kind: u16,
    class: u16,
}

struct Edns {
    payload_bytes: usize,
    version: u8,
    dnssec_ok: bool,
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

fn parse_question(packet: &[u8]) -> Option<Question> {
    let mut at = HEADER_BYTES;
    let mut name = Vec::new();
    loop {
        let length = *packet.get(at)?;
        // The first name of a packet has nothing to point back to: a pointer or an unknown label type is malformed.
        if length > 63 || name.len() + usize::from(length) + 1 > MAX_NAME_BYTES {
            return None;
        }
        let label = packet.get(at + 1..at + 1 + usize::from(length))?;
        name.push(length);
        name.extend(label.iter().map(u8::to_ascii_lowercase));
        at += 1 + usize::from(length);
        if length == 0 {
            break;
        }
    }
    Some(Question {
        name,
        start: HEADER_BYTES,
        kind: u16_at(packet, at)?,
        class: u16_at(packet, at + 2)?,
        end: at + 4,
    })
}

fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0..=0xff => return packet.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

/// The OPT record among the records after the question. `Err` = malformed (also: more than one OPT).
fn parse_edns(packet: &[u8], mut at: usize, records: usize) -> Result<Option<Edns>, ()> {
    let mut found = None;
    for _ in 0..records {
        let is_root = packet.get(at) == Some(&0);
        at = skip_name(packet, at).ok_or(())?;
        let kind = u16_at(packet, at).ok_or(())?;
        let class = u16_at(packet, at + 2).ok_or(())?;
        let ttl = packet.get(at + 4..at + 8).ok_or(())?;
        let length = usize::from(u16_at(packet, at + 8).ok_or(())?);
        packet.get(at + 10..at + 10 + length).ok_or(())?;
        if kind == TYPE_OPT {
            if found.is_some() || !is_root {
                return Err(());
            }
            found = Some(Edns {
                payload_bytes: usize::from(class),
                version: ttl[1],
                dnssec_ok: ttl[2] & 0x80 != 0,
            });
        }
        at += 10 + length;
    }
    Ok(found)
}

struct Answer<'a> {
    code: ResponseCode,
    authoritative: bool,
    addresses: &'a [Ipv4Addr],
    /// The domain whose SOA goes in the answer (SOA asked) or the authority section (negative answers).
    soa: Option<&'a [u8]>,
    soa_is_answer: bool,
    ns: Option<&'a [u8]>,
}

impl Answer<'_> {
    fn of_code(code: ResponseCode) -> Self {
        Answer {
            code,
            authoritative: false,
            addresses: &[],
            soa: None,
            soa_is_answer: false,
            ns: None,
        }
    }
}

fn decide<'a>(question: &'a Question, zone: &'a Zone) -> Answer<'a> {
    if !matches!(question.class, CLASS_IN | CLASS_ANY) || matches!(question.kind, TYPE_AXFR | TYPE_IXFR) {
        return Answer::of_code(ResponseCode::Refused);
    }
    let Some(domain) = zone.domain_of(&question.name) else {
        return Answer::of_code(ResponseCode::Refused);
    };
    let mut answer = Answer::of_code(ResponseCode::NoError);
    answer.authoritative = true;
    let is_apex = domain.len() == question.name.len();
    match zone.addresses.get(&question.name) {
        Some(addresses) if matches!(question.kind, TYPE_A | TYPE_ANY) && !addresses.is_empty() => {
            answer.addresses = addresses;
        }
        Some(_) => answer.soa = Some(domain),
        None if is_apex => match question.kind {
            TYPE_SOA | TYPE_ANY => {
                answer.soa = Some(domain);
                answer.soa_is_answer = true;
            }
            TYPE_NS => answer.ns = Some(domain),
            _ => answer.soa = Some(domain),
        },
        None if zone.parents.contains(&question.name) => answer.soa = Some(domain),
        None => {
            answer.code = ResponseCode::NameError;
            answer.soa = Some(domain);
        }
    }
    answer
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// "ns.<domain>", the only name server we name.
fn server_name(domain: &[u8]) -> Vec<u8> {
    let mut name = b"\x02ns".to_vec();
    name.extend_from_slice(domain);
    name
}

fn put_record(out: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    out.extend_from_slice(owner);
    put_u16(out, kind);
    put_u16(out, CLASS_IN);
    put_u32(out, ttl);
    put_u16(out, data.len() as u16);
    out.extend_from_slice(data);
}

fn put_soa(out: &mut Vec<u8>, domain: &[u8], zone: &Zone) {
    let mut data = server_name(domain);
    data.extend_from_slice(b"\x0ahostmaster");
    data.extend_from_slice(domain);
    put_u32(&mut data, zone.serial);
    put_u32(&mut data, 7200); // refresh, retry, expire: for secondaries, which we do not have
    put_u32(&mut data, 900);
    put_u32(&mut data, 1_209_600);
    put_u32(&mut data, zone.ttl_seconds); // how long "there is no such thing" may be kept
    put_record(out, domain, TYPE_SOA, zone.ttl_seconds, &data);
}

/// Header flags of the answer: QR, the query's opcode, AA, TC, the query's RD, the code's low four bits.
fn flags(query: u16, authoritative: bool, truncated: bool, code: ResponseCode) -> u16 {
    0x8000
        | (query & 0x7900)
        | (u16::from(authoritative) << 10)
        | (u16::from(truncated) << 9)
        | (code as u16 & 0x000f)
}

fn put_edns(out: &mut Vec<u8>, edns: &Edns, code: ResponseCode) {
    out.push(0);
    put_u16(out, TYPE_OPT);
    put_u16(out, EDNS_PAYLOAD_BYTES as u16);
    out.push((code as u16 >> 4) as u8);
    out.push(0); // version
    put_u16(out, if edns.dnssec_ok { 0x8000 } else { 0 });
    put_u16(out, 0);
}

/// The answer to `query`, or None when it deserves none. `rotation` turns the order of the addresses.
pub fn respond(query: &[u8], zone: &Zone, transport: Transport, rotation: usize) -> Option<Vec<u8>> {
    let id = u16_at(query, 0)?;
    let query_flags = u16_at(query, 2)?;
    let counts = [
        u16_at(query, 4)?,
        u16_at(query, 6)?,
        u16_at(query, 8)?,
        u16_at(query, 10)?,
    ];
    if query_flags & 0x8000 != 0 {
        return None; // an answer: replying to it could loop
    }
    let bare = |code: ResponseCode| {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        put_u16(&mut out, id);
        put_u16(&mut out, flags(query_flags, false, false, code));
        out.extend_from_slice(&[0; 8]);
        Some(out)
    };
    if query_flags & 0x7800 != 0 {
        return bare(ResponseCode::NotImplemented);
    }
    if counts[0] != 1 {
        return bare(ResponseCode::FormatError);
    }
    let Some(question) = parse_question(query) else {
        return bare(ResponseCode::FormatError);
    };
    let records = counts[1..].iter().map(|&n| usize::from(n)).sum();
    let Ok(edns) = parse_edns(query, question.end, records) else {
        return bare(ResponseCode::FormatError);
    };
    let answer = match &edns {
        Some(edns) if edns.version != 0 => Answer::of_code(ResponseCode::BadVersion),
        _ => decide(&question, zone),
    };
    let limit = match (transport, &edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => PLAIN_UDP_BYTES,
        (Transport::Udp, Some(edns)) => edns.payload_bytes.clamp(PLAIN_UDP_BYTES, EDNS_PAYLOAD_BYTES),
    };

    let question_bytes = query.get(question.start..question.end)?;
    let mut body = Vec::with_capacity(256);
    let (mut answers, mut authorities) = (0_u16, 0_u16);
    let count = answer.addresses.len();
    for i in 0..count {
        let address = answer.addresses[(i + rotation % count) % count];
        put_record(
            &mut body,
            &[0xc0, HEADER_BYTES as u8],
            TYPE_A,
            zone.ttl_seconds,
            &address.octets(),
        );
        answers += 1;
    }
    if let Some(domain) = answer.ns {
        put_record(&mut body, domain, TYPE_NS, zone.ttl_seconds, &server_name(domain));
        answers += 1;
    }
    if let Some(domain) = answer.soa {
        put_soa(&mut body, domain, zone);
        if answer.soa_is_answer {
            answers += 1;
        } else {
            authorities += 1;
        }
    }
    let edns_bytes = if edns.is_some() { 11 } else { 0 };
    let truncated = HEADER_BYTES + question_bytes.len() + body.len() + edns_bytes > limit;
    if truncated {
        body.clear();
        (answers, authorities) = (0, 0);
    }

    let mut out = Vec::with_capacity(HEADER_BYTES + question_bytes.len() + body.len() + edns_bytes);
    put_u16(&mut out, id);
    put_u16(
        &mut out,
        flags(query_flags, answer.authoritative, truncated, answer.code),
    );
    for n in [1, answers, authorities, u16::from(edns.is_some())] {
        put_u16(&mut out, n);
    }
    out.extend_from_slice(question_bytes);
    out.extend_from_slice(&body);
    if let Some(edns) = &edns {
        put_edns(&mut out, edns, answer.code);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "us-east-1.elb.amazonaws.com";

    fn zone(addresses: usize) -> Zone {
        let mut zone = Zone::new(60, 7);
        zone.add_domain(DOMAIN);
        let all = (0..addresses)
            .map(|i| Ipv4Addr::new(127, 1, (i >> 8) as u8, i as u8))
            .collect();
        zone.add_name(&format!("Shop-123.{DOMAIN}"), all);
        zone.add_name(
            &format!("us-east-1a.zonal-9.{DOMAIN}"),
            vec![Ipv4Addr::new(127, 1, 0, 9)],
        );
        zone.finish();
        zone
    }

    fn query(name: &str, kind: u16, opt: Option<u16>) -> Vec<u8> {
        let mut out = vec![
            0xab,
            0xcd,
            0x01,
            0x00,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            u8::from(opt.is_some()),
        ];
        for label in name.split('.').filter(|l| !l.is_empty()) {
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        if let Some(size) = opt {
            out.extend_from_slice(&[0, 0, 41]);
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        }
        out
    }

    struct Seen {
        code: u16,
        authoritative: bool,
        truncated: bool,
        counts: [u16; 4],
        addresses: Vec<Ipv4Addr>,
        ttl: Option<u32>,
    }

    fn ask(packet: &[u8], zone: &Zone, transport: Transport, rotation: usize) -> Seen {
        let out = respond(packet, zone, transport, rotation).unwrap();
        assert_eq!(out[..2], packet[..2]);
        let flags = u16_at(&out, 2).unwrap();
        assert_eq!(flags & 0x8000, 0x8000);
        let counts = [4, 6, 8, 10].map(|at| u16_at(&out, at).unwrap());
        let mut seen = Seen {
            code: flags & 0xf,
            authoritative: flags & 0x400 != 0,
            truncated: flags & 0x200 != 0,
            counts,
            addresses: vec![],
            ttl: None,
        };
        if counts[0] == 0 {
            assert_eq!(out.len(), 12);
            return seen;
        }
        let question = parse_question(&out).unwrap();
        assert_eq!(
            out[question.start..question.end],
            packet[question.start..question.end],
            "echoed as it came"
        );
        let mut at = question.end;
        for _ in 0..counts[1] + counts[2] + counts[3] {
            at = skip_name(&out, at).unwrap();
            let kind = u16_at(&out, at).unwrap();
            let length = usize::from(u16_at(&out, at + 8).unwrap());
            if kind == TYPE_A {
                seen.ttl = Some(u32::from_be_bytes(out[at + 4..at + 8].try_into().unwrap()));
                let octets: [u8; 4] = out[at + 10..at + 14].try_into().unwrap();
                seen.addresses.push(Ipv4Addr::from(octets));
            }
            at += 10 + length;
        }
        assert_eq!(at, out.len(), "nothing left over");
        seen
    }

    #[test]
    fn a_records_whatever_the_case_and_rotated() {
        let zone = zone(3);
        let packet = query(&format!("sHoP-123.{DOMAIN}"), TYPE_A, None);
        let seen = ask(&packet, &zone, Transport::Udp, 0);
        assert_eq!(
            (seen.code, seen.authoritative, seen.counts),
            (0, true, [1, 3, 0, 0])
        );
        assert_eq!(seen.ttl, Some(60));
        let turned = ask(&packet, &zone, Transport::Udp, 4);
        assert_eq!(turned.addresses[0], seen.addresses[1]);
        assert_eq!(turned.addresses.len(), 3);
    }

    #[test]
    fn codes_follow_the_table() {
        let zone = zone(1);
        let own = format!("shop-123.{DOMAIN}");
        for (name, kind, code, counts) in [
            (own.as_str(), TYPE_A, 0, [1, 1, 0, 0]),
            (own.as_str(), TYPE_ANY, 0, [1, 1, 0, 0]),
            (own.as_str(), 28, 0, [1, 0, 1, 0]),
            (own.as_str(), 16, 0, [1, 0, 1, 0]),
            (own.as_str(), TYPE_AXFR, 5, [1, 0, 0, 0]),
            ("other.us-east-1.elb.amazonaws.com", TYPE_A, 3, [1, 0, 1, 0]),
            ("a.shop-123.us-east-1.elb.amazonaws.com", TYPE_A, 3, [1, 0, 1, 0]),
            ("zonal-9.us-east-1.elb.amazonaws.com", TYPE_A, 0, [1, 0, 1, 0]), // exists by what is below it
            (DOMAIN, TYPE_A, 0, [1, 0, 1, 0]),
            (DOMAIN, TYPE_SOA, 0, [1, 1, 0, 0]),
            (DOMAIN, TYPE_NS, 0, [1, 1, 0, 0]),
            ("elb.amazonaws.com", TYPE_A, 5, [1, 0, 0, 0]),
            ("xus-east-1.elb.amazonaws.com", TYPE_A, 5, [1, 0, 0, 0]),
            ("example.org", TYPE_A, 5, [1, 0, 0, 0]),
            ("", TYPE_NS, 5, [1, 0, 0, 0]),
        ] {
            let seen = ask(&query(name, kind, None), &zone, Transport::Udp, 0);
            assert_eq!((seen.code, seen.counts), (code, counts), "{name} {kind}");
        }
    }

    #[test]
    fn long_answers_are_truncated_on_udp_but_not_on_tcp() {
        let zone = zone(60);
        let name = format!("shop-123.{DOMAIN}");
        for (opt, transport, truncated) in [
            (None, Transport::Udp, true),
            (Some(512), Transport::Udp, true),
            (Some(100), Transport::Udp, true),
            (Some(4096), Transport::Udp, false), // 60 records of 16 bytes fit in 1232
            (None, Transport::Tcp, false),
        ] {
            let seen = ask(&query(&name, TYPE_A, opt), &zone, transport, 0);
            assert_eq!(seen.truncated, truncated, "{opt:?} {transport:?}");
            assert_eq!(seen.addresses.is_empty(), truncated);
            assert_eq!(seen.counts[3], u16::from(opt.is_some()), "OPT is answered by OPT");
        }
    }

    #[test]
    fn an_unknown_edns_version_is_told_so() {
        let mut packet = query(&format!("shop-123.{DOMAIN}"), TYPE_A, Some(1232));
        let at = packet.len() - 5;
        packet[at] = 1; // version
        let out = respond(&packet, &zone(1), Transport::Udp, 0).unwrap();
        assert_eq!(out[3] & 0xf, 0);
        let opt = &out[out.len() - 11..];
        assert_eq!((opt[5], opt[6]), (1, 0), "extended code 16, our version 0");
    }

    #[test]
    fn malformed_packets() {
        let zone = zone(1);
        let good = query(&format!("shop-123.{DOMAIN}"), TYPE_A, None);
        let code =
            |packet: &[u8]| respond(packet, &zone, Transport::Udp, 0).map(|out| u16::from(out[3] & 0xf));
        assert_eq!(code(&[]), None);
        assert_eq!(code(&good[..11]), None);
        assert_eq!(code(&good[..12]), Some(1));
        assert_eq!(code(&good[..good.len() - 1]), Some(1));
        let mut answer = good.clone();
        answer[2] |= 0x80;
        assert_eq!(code(&answer), None);
        let mut notify = good.clone();
        notify[2] |= 0x20;
        assert_eq!(code(&notify), Some(4));
        let mut two = good.clone();
        two[5] = 2;
        assert_eq!(code(&two), Some(1));
        let mut missing_record = good.clone();
        missing_record[11] = 1;
        assert_eq!(code(&missing_record), Some(1));
        let mut pointer = good[..12].to_vec();
        pointer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(code(&pointer), Some(1));
    }

    /// Mutations of good packets and pure noise: never a panic, always the id back, never beyond the limit.
    #[test]
    fn seeded_fuzz() {
        let mut seed = 0xd05_u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize
        };
        let zones = [zone(1), zone(100)];
        let starts = [
            query(&format!("shop-123.{DOMAIN}"), TYPE_A, Some(4096)),
            query(DOMAIN, TYPE_SOA, None),
            query("nothing.example.org", 28, Some(0)),
        ];
        for _ in 0..200_000 {
            let mut packet = starts[next() % starts.len()].clone();
            if next() % 8 == 0 {
                packet = (0..next() % 600).map(|_| next() as u8).collect();
            }
            for _ in 0..next() % 6 {
                match next() % 3 {
                    0 if !packet.is_empty() => {
                        let at = next() % packet.len();
                        packet[at] = next() as u8;
                    }
                    1 => packet.truncate(next() % (packet.len() + 1)),
                    _ => packet.insert(next() % (packet.len() + 1), next() as u8),
                }
            }
            if let Some(out) = respond(&packet, &zones[next() % 2], Transport::Udp, next()) {
                assert_eq!(out[..2], packet[..2]);
                assert!(out.len() <= EDNS_PAYLOAD_BYTES);
            }
        }
    }

    #[test]
    fn names_that_dns_cannot_carry_are_left_out() {
        for bad in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(wire_name(bad), None, "{bad}");
        }
        assert_eq!(wire_name("A.b."), Some(b"\x01a\x01b\x00".to_vec()));
    }
}
