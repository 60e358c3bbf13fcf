//! A node's workers with a configuration of their own, targets that do what a test says, and a client that shows
//! raw bytes. Everything on free loopback ports, every read with a time limit.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test's helpers may panic: that is how it fails
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use elba_core::compile::{compile, Compiled, Serves};
use elba_core::protocol;
use elba_node::counters::Counters;
use elba_node::worker::Workers;
use socket2::{Domain, Socket, Type};

/// No test waits longer for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

pub const LB: &str = "arn:lb/app/one/1";

/// A listening socket that others may share the port of.
fn listening(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}

pub struct Node {
    workers: Option<Workers>,
    pub counters: Arc<Counters>,
    pub address: SocketAddr,
    pub snapshot: protocol::Snapshot,
    compiled: Arc<Compiled>,
}

impl Node {
    /// Serves port 80 of the snapshot's first load balancer on a free port.
    pub fn start(snapshot: protocol::Snapshot) -> Node {
        Node::start_as(
            snapshot,
            1,
            Serves::Listener {
                load_balancer: LB.into(),
                port: 80,
            },
        )
    }

    pub fn start_as(snapshot: protocol::Snapshot, count: usize, serves: Serves) -> Node {
        Node::start_logging(snapshot, count, serves, None)
    }

    pub fn start_logging(
        snapshot: protocol::Snapshot,
        count: usize,
        serves: Serves,
        log: Option<elba_node::access_log::Sender>,
    ) -> Node {
        let counters = Counters::new();
        let workers = Workers::start_logging(count, counters.clone(), log).unwrap();
        let first = listening("127.0.0.1:0".parse().unwrap());
        let address = first.local_addr().unwrap();
        let mut listeners = vec![first];
        listeners.extend((1..count).map(|_| listening(address)));
        let compiled = Arc::new(compile(&snapshot, None).unwrap());
        assert_eq!(compiled.problems, Vec::<String>::new());
        workers.install(compiled.clone());
        workers.listen(1, listeners, serves);
        Node {
            workers: Some(workers),
            counters,
            address,
            snapshot,
            compiled,
        }
    }

    pub fn install(&mut self, change: impl FnOnce(&mut protocol::Snapshot)) {
        change(&mut self.snapshot);
        self.compiled = Arc::new(compile(&self.snapshot, Some(&self.compiled)).unwrap());
        self.workers.as_ref().unwrap().install(self.compiled.clone());
    }

    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    pub fn workers(&self) -> &Workers {
        self.workers.as_ref().unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    /// Sum of a load balancer's counter over all takes so far; waits until it is at least `wanted`.
    pub fn counted(&self, metric: &str, wanted: f64) -> f64 {
        let mut sum = 0.0;
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            for report in self.counters.take().0 {
                sum += report.counters.get(metric).copied().unwrap_or(0.0);
            }
            if sum >= wanted {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        sum
    }

    pub fn stop(mut self) {
        let workers = self.workers.take().unwrap();
        workers.drain(Duration::ZERO);
        workers.join();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            workers.drain(Duration::ZERO);
            workers.join();
        }
    }
}

pub fn forward(arns: &[(&str, u32)]) -> protocol::Action {
    protocol::Action {
        kind: "forward".into(),
        target_groups: arns
            .iter()
            .map(|(arn, weight)| protocol::WeightedTargetGroup {
                arn: (*arn).into(),
                weight: *weight,
            })
            .collect(),
        ..Default::default()
    }
}

pub fn rule(priority: u32, conditions: Vec<protocol::Condition>, action: protocol::Action) -> protocol::Rule {
    protocol::Rule {
        arn: format!("rule-{priority}"),
        priority,
        conditions,
        actions: vec![action],
        transforms: vec![],
    }
}

pub fn target(address: SocketAddr) -> protocol::Target {
    protocol::Target {
        id: format!("i-{}", address.port()),
        port: address.port(),
        address: address.ip().to_string(),
        zone: "a".into(),
        known_health: "healthy".into(),
        ..Default::default()
    }
}

/// One load balancer with a listener on port 80 that forwards to the group "tg" with these targets.
pub fn snapshot(targets: &[SocketAddr]) -> protocol::Snapshot {
    protocol::Snapshot {
        version: 1,
        node: protocol::Node {
            zone: "a".into(),
            ..Default::default()
        },
        load_balancers: vec![protocol::LoadBalancer {
            arn: LB.into(),
            dns_name: "one-1.us-east-1.elb.localhost".into(),
            listeners: vec![protocol::Listener {
                arn: "listener".into(),
                port: 80,
                rules: vec![rule(0, vec![], forward(&[("tg", 1)]))],
                ..Default::default()
            }],
            ..Default::default()
        }],
        target_groups: vec![protocol::TargetGroup {
            arn: "tg".into(),
            targets: targets.iter().map(|address| target(*address)).collect(),
            ..Default::default()
        }],
    }
}

pub fn with_attribute(mut snapshot: protocol::Snapshot, key: &str, value: &str) -> protocol::Snapshot {
    snapshot.load_balancers[0]
        .attributes
        .insert(key.into(), value.into());
    snapshot
}

/// A request as a target got it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub line: String,
    /// in order, as received
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// framed in chunks
    pub chunked: bool,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// None at the end of the stream.
    pub fn read_head(from: &mut impl BufRead) -> Option<Request> {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        assert!(line.ends_with("\r\n"), "{line:?}");
        let mut request = Request {
            line: line.trim_end().into(),
            ..Default::default()
        };
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).ok()? == 0 {
                return None;
            }
            assert!(line.ends_with("\r\n"), "{line:?}");
            if line == "\r\n" {
                return Some(request);
            }
            let (name, value) = line.trim_end().split_once(": ").expect("name: value");
            request.fields.push((name.into(), value.into()));
        }
    }

    pub fn read_body(&mut self, from: &mut impl BufRead) -> Option<()> {
        if self.field("transfer-encoding") == Some("chunked") {
            self.chunked = true;
            self.body = read_chunks(from)?;
        } else if let Some(length) = self.field("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            from.read_exact(&mut body).ok()?;
            self.body = body;
        }
        Some(())
    }

    pub fn read(from: &mut impl BufRead) -> Option<Request> {
        let mut request = Request::read_head(from)?;
        request.read_body(from)?;
        Some(request)
    }
}

fn read_chunks(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.strip_suffix("\r\n")?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        from.read_exact(&mut chunk).ok()?;
        assert!(chunk.ends_with(b"\r\n"));
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Some(body);
        }
    }
}

type Answer = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

/// A target on a free port. Threads end when their connections do or the target is dropped.
pub struct Target {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<Request>>>,
    pub connections: Arc<AtomicU32>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl Target {
    /// Answers each request with the bytes that `answer` makes of it; none at all = closes.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Target {
        let answer: Arc<Answer> = Arc::new(answer);
        Target::serving(move |mut stream, requests| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = Request::read(&mut reader) {
                requests.lock().unwrap().push(request.clone());
                let bytes = answer(&request);
                if bytes.is_empty() || stream.write_all(&bytes).is_err() {
                    return;
                }
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).to_ascii_lowercase();
                if text.contains("connection: close") {
                    return;
                }
            }
        })
    }

    /// Answers 200 with this body.
    pub fn saying(body: &str) -> Target {
        let answer = ok(body);
        Target::answering(move |_| answer.clone())
    }

    pub fn serving(serve: impl Fn(TcpStream, &Mutex<Vec<Request>>) + Send + Sync + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            stopped: Arc::default(),
        };
        let serve = Arc::new(serve);
        let (requests, connections, open, stopped) = (
            target.requests.clone(),
            target.connections.clone(),
            target.open.clone(),
            target.stopped.clone(),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (serve, requests) = (serve.clone(), requests.clone());
                std::thread::spawn(move || {
                    serve(stream.try_clone().unwrap(), &requests);
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        target
    }

    /// Nobody listens there any more, and open connections are gone.
    pub fn kill(&self) {
        if self.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // wakes the accepting thread, which drops the listener
        let _ = TcpStream::connect(self.address);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(self.address).is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn last(&self) -> Request {
        self.requests.lock().unwrap().last().expect("a request").clone()
    }

    pub fn connection_count(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A response as a client got it.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    pub line: String,
    pub fields: BTreeMap<String, String>,
    pub names: Vec<String>,
    pub body: Vec<u8>,
    /// the body ended before its end
    pub truncated: bool,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// by lower-case name
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

pub struct Client {
    pub stream: TcpStream,
    pub reader: BufReader<TcpStream>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Client { stream, reader }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn response(&mut self) -> Response {
        self.response_to("GET").expect("a response")
    }

    /// None if the connection ended before one began.
    pub fn response_to(&mut self, method: &str) -> Option<Response> {
        let mut response = self.head()?;
        if method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
            return Some(response);
        }
        if response.field("transfer-encoding") == "chunked" {
            match read_chunks(&mut self.reader) {
                Some(body) => response.body = body,
                None => response.truncated = true,
            }
        } else if let Some(length) = response.fields.get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            let mut at = 0;
            while at < body.len() {
                match self.reader.read(&mut body[at..]) {
                    Ok(count) if count > 0 => at += count,
                    _ => break,
                }
            }
            response.truncated = at < body.len();
            body.truncate(at);
            response.body = body;
        } else {
            self.reader.read_to_end(&mut response.body).unwrap();
        }
        Some(response)
    }

    pub fn head(&mut self) -> Option<Response> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let mut response = Response {
            status: line
                .get(9..12)
                .unwrap_or("")
                .parse()
                .unwrap_or_else(|_| panic!("no status line: {line:?}")),
            line: line.trim_end_matches("\r\n").into(),
            ..Default::default()
        };
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                return Some(response);
            }
            let (name, value) = line.trim_end().split_once(": ").expect("name: value");
            response.names.push(name.into());
            response.fields.insert(name.to_ascii_lowercase(), value.into());
        }
    }

    /// Whether the node closes the connection, having sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
