//! A worker's side of the access log. A request that is logged fills a draft, taken from the worker's own stock;
//! ended, it is copied behind the others of the worker's batch, and the batch goes to the log's thread when it is
//! full or a tick old. No lock, and no shared count, is touched for a request.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use elba_core::compile::{Compiled, Place};
use elba_core::desync::Classification;
use elba_core::forwarded::{push_trace_id, without_port, TraceSeed};
use elba_core::http1::request::{RequestHead, Version};
use elba_core::http1::Span;

use super::connection::Connection;
use super::state::Config;
use super::ClientStream;
use crate::access_log::{ConnectionRecord, Sender};

const BATCH_RECORDS: usize = 128;
const BATCH_TEXT: usize = 64 * 1024;
/// Drafts kept for the next requests.
const STOCK: usize = 1024;

/// A request as it was served. Spans point into the text of its batch.
#[derive(Debug, Clone)]
pub struct Record {
    pub place: Place,
    pub client: SocketAddr,
    pub connection_trace: u128,
    pub created: Instant,
    /// to the target; its response began; the last of the answer
    pub dispatched: Option<Instant>,
    pub answered: Option<Instant>,
    pub ended: Instant,
    /// 0 = none
    pub status: u16,
    pub target_status: u16,
    pub received: u64,
    pub sent: u64,
    /// slot of the target group, and index of the target in it
    pub group: Option<u32>,
    pub target: Option<u32>,
    pub priority: Option<i32>,
    pub classification: Classification,
    pub version: Version,
    pub is_websocket: bool,
    pub is_http2: bool,
    /// version and cipher suite as OpenSSL writes them; None = plain
    pub tls: Option<(&'static str, &'static str)>,
    pub actions: &'static str,
    /// what stood before them
    pub guard: &'static str,
    pub error_reason: &'static str,
    pub transform_status: &'static str,
    /// why, if an answer is our own and AWS has a code for it
    /// the name that the client asked for; the certificate's ARN
    pub domain: Span,
    pub certificate: Span,
    pub method: Span,
    pub host: Span,
    pub uri: Span,
    pub agent: Span,
    pub trace: Span,
    pub redirect: Span,
    pub new_host: Span,
    pub new_uri: Span,
}

/// The records of one worker under one configuration.
#[derive(Debug)]
pub struct Batch {
    pub compiled: Arc<Compiled>,
    pub records: Vec<Record>,
    pub text: Vec<u8>,
}

/// The record of a request that is under way.
pub(super) struct Draft {
    pub record: Record,
    config: Option<Rc<Config>>,
    text: Vec<u8>,
    pub seed: TraceSeed,
    received_from: u64,
    sent_from: u64,
}

impl Draft {
    /// The head of the target's response has come.
    pub fn answered(&mut self, status: u16) {
        self.record.answered = Some(Instant::now());
        self.record.status = status;
        self.record.target_status = status;
    }

    /// The answer is the load balancer's own.
    pub fn failed(&mut self, status: u16) {
        self.record.answered = None;
        self.record.status = status;
        self.record.target_status = 0;
    }

    /// The request was rewritten on its way.
    pub fn rewritten(&mut self, uri: Option<&[u8]>, host: Option<&[u8]>) {
        if uri.is_none() && host.is_none() {
            return;
        }
        self.record.actions = "rewrite,forward";
        self.record.transform_status = "TransformSuccess";
        self.record.new_uri = self.put(uri.unwrap_or_default());
        self.record.new_host = self.put(host.unwrap_or_default());
    }

    /// Appends to the text.
    pub fn put(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span::new(start, self.text.len())
    }
}

/// What a worker has to log.
#[derive(Default)]
pub struct Log {
    sender: Option<Sender>,
    /// boxed, for so they pass between here and a connection, which has to stay small
    #[allow(clippy::vec_box)]
    stock: RefCell<Vec<Box<Draft>>>,
    batch: RefCell<Option<Batch>>,
}

impl Log {
    pub fn new(sender: Option<Sender>) -> Log {
        Log {
            sender,
            ..Log::default()
        }
    }

    fn put(&self, mut draft: Box<Draft>) {
        let Some(config) = draft.config.take() else { return };
        let mut current = self.batch.borrow_mut();
        if let Some(other) = current.take_if(|batch| !Arc::ptr_eq(&batch.compiled, &config.compiled)) {
            self.send(other);
        }
        let batch = current.get_or_insert_with(|| Batch {
            compiled: config.compiled.clone(),
            records: Vec::with_capacity(BATCH_RECORDS),
            text: Vec::with_capacity(BATCH_TEXT / 2),
        });
        let from = batch.text.len() as u32;
        batch.text.extend_from_slice(&draft.text);
        let mut record = draft.record.clone();
        for span in [
            &mut record.domain,
            &mut record.certificate,
            &mut record.method,
            &mut record.host,
            &mut record.uri,
            &mut record.agent,
            &mut record.trace,
            &mut record.redirect,
            &mut record.new_host,
            &mut record.new_uri,
        ] {
            span.start += from;
            span.end += from;
        }
        batch.records.push(record);
        if batch.records.len() >= BATCH_RECORDS || batch.text.len() >= BATCH_TEXT {
            if let Some(full) = current.take() {
                self.send(full);
            }
        }
        drop(current);
        let mut stock = self.stock.borrow_mut();
        // an unusually long text is not kept
        if stock.len() < STOCK && draft.text.capacity() <= 4096 {
            stock.push(draft);
        }
    }

    fn send(&self, batch: Batch) {
        if let Some(sender) = &self.sender {
            sender.send(batch);
        }
    }

    /// Writes down an attempt to connect, if its load balancer keeps a log of them.
    pub fn connected(
        &self,
        compiled: &Arc<Compiled>,
        place: Place,
        record: impl FnOnce() -> ConnectionRecord,
    ) {
        let attributes = &compiled.load_balancer_at(place).attributes;
        if let Some(sender) = self
            .sender
            .as_ref()
            .filter(|_| attributes.connection_log.is_some())
        {
            sender.send_connection(record());
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        if let Some(batch) = self.batch.borrow_mut().take() {
            self.send(batch);
        }
    }
}

impl<S: ClientStream> Connection<S> {
    /// Starts the record of a request if its load balancer keeps a log. `head` with its bytes and length: None if it
    /// could not be read. `target`: path and query as received. `waiting`: how much of what was received is in the input.
    pub(super) fn begin_log(
        &mut self,
        config: &Rc<Config>,
        place: Place,
        head: Option<(&RequestHead, &[u8], usize)>,
        target: Option<&[u8]>,
        host: Option<&[u8]>,
        waiting: usize,
    ) {
        let balancer = &config.balancers[place.load_balancer as usize].balancer;
        if balancer.attributes.access_log.is_none() || self.worker.log.sender.is_none() {
            return;
        }
        let worker = self.worker.clone();
        let tls = self.stream.tls().cloned();
        if self.trace == 0 {
            self.trace = tls
                .as_ref()
                .map_or_else(|| worker.connection_trace(), |agreed| agreed.trace);
        }
        let now = Instant::now();
        // a request that had to wait for something is decided upon again: it came when it came
        let created = self.log.take().map_or(now, |draft| draft.record.created);
        let record = Record {
            place,
            client: self.peer,
            connection_trace: self.trace,
            created,
            dispatched: None,
            answered: None,
            ended: now,
            status: 0,
            target_status: 0,
            received: 0,
            sent: 0,
            group: None,
            target: None,
            priority: None,
            classification: Classification::default(),
            version: Version::Http11,
            is_websocket: false,
            is_http2: S::MULTIPLEXED,
            tls: tls.as_ref().map(|agreed| (agreed.version, agreed.cipher)),
            actions: "",
            guard: "",
            error_reason: "",
            transform_status: "",
            domain: Span::default(),
            certificate: Span::default(),
            method: Span::default(),
            host: Span::default(),
            uri: Span::default(),
            agent: Span::default(),
            trace: Span::default(),
            redirect: Span::default(),
            new_host: Span::default(),
            new_uri: Span::default(),
        };
        let reused = worker.log.stock.borrow_mut().pop();
        let (mut text, reused) = match reused {
            Some(mut draft) => (std::mem::take(&mut draft.text), Some(draft)),
            None => (Vec::with_capacity(512), None),
        };
        text.clear();
        let fresh = Draft {
            record,
            config: Some(config.clone()),
            text,
            seed: worker.trace_seed(),
            received_from: self.received.wrapping_sub(waiting as u64),
            sent_from: self.sent_total,
        };
        let mut draft = match reused {
            Some(mut draft) => {
                *draft = fresh;
                draft
            }
            None => Box::new(fresh),
        };
        let host = host
            .map(without_port)
            .filter(|host| !host.is_empty())
            .unwrap_or(balancer.source.dns_name.as_bytes());
        draft.record.host = draft.put(host);
        if let Some(agreed) = &tls {
            draft.record.domain = draft.put(agreed.server_name.as_deref().unwrap_or("").as_bytes());
            let certificate = agreed.certificate.as_deref();
            draft.record.certificate = draft.put(certificate.unwrap_or("session-reused").as_bytes());
        }
        if let Some((head, bytes, used)) = head {
            if !S::MULTIPLEXED {
                draft.record.classification = head.classification;
            }
            draft.record.version = head.version;
            draft.record.method = draft.put(head.method.of(bytes));
            draft.record.uri = draft.put(target.unwrap_or(head.target.of(bytes)));
            let agent = head
                .fields
                .iter()
                .map(|field| (field.name.of(bytes), field.value))
                .find(|(name, _)| name.len() == 10 && name.eq_ignore_ascii_case(b"user-agent"));
            if let Some((_, value)) = agent {
                draft.record.agent = draft.put(value.of(bytes));
            }
            let start = draft.text.len();
            let seed = draft.seed;
            push_trace_id(&mut draft.text, bytes, head, seed, used);
            draft.record.trace = Span::new(start, draft.text.len());
        }
        self.log = Some(draft);
    }

    /// Writes something down of the request, if it is logged.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut Draft)) {
        if let Some(draft) = &mut self.log {
            change(draft);
        }
    }

    /// The request was served: its record, if there is one, is complete.
    pub(super) fn end_log(&mut self) {
        let Some(mut draft) = self.log.take() else { return };
        // what could not be read as a request is all that came
        let waiting = if draft.record.method.is_empty() {
            0
        } else {
            self.input.len()
        };
        let record = &mut draft.record;
        record.ended = Instant::now();
        record.received = self
            .received
            .wrapping_sub(waiting as u64)
            .wrapping_sub(draft.received_from);
        record.sent = self.sent_total.wrapping_sub(draft.sent_from);
        self.worker.log.put(draft);
    }
}
