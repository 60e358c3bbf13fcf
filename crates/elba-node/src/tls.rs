//! TLS over a socket that is read and written as it becomes ready: one write seals head and body together and leaves
//! in one system call.

use std::future::poll_fn;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use elba_core::client_certificate::Told;
use elba_core::target_tls::session_name;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, ServerConnection, SideData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket as rustls wants it: blocking calls that say `WouldBlock`.
pub struct Socket<'a, 'b> {
    pub stream: &'a mut TcpStream,
    pub context: &'a mut Context<'b>,
}

fn now_or_later<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Socket<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        now_or_later(Pin::new(&mut *self.stream).poll_read(self.context, &mut into))?;
        Ok(into.filled().len())
    }
}

impl io::Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now_or_later(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        now_or_later(Pin::new(&mut *self.stream).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client's handshake came to.
#[derive(Debug, Default)]
pub struct Agreed {
    /// version and cipher suite as OpenSSL writes them
    pub version: &'static str,
    pub cipher: &'static str,
    /// the name that the client asked for, if there is a certificate for it
    pub server_name: Option<Box<str>>,
    /// ARN of the certificate, or that a session was resumed
    pub certificate: Option<Arc<str>>,
    /// on a listener with mutual TLS
    pub client: Option<Told>,
    /// the connection's name in logs; 0 = none yet
    pub trace: u128,
}

/// A connection under TLS. What `poll_write` has taken is in the socket when it says so: a write that the socket took
/// in part is to be repeated with the same bytes, which are then not taken again.
pub struct TlsStream<C> {
    /// a client's, after its handshake
    pub agreed: Option<Rc<Agreed>>,
    socket: TcpStream,
    session: Box<C>,
    /// taken and sealed, but not wholly in the socket
    owed: usize,
}

impl<C, D: SideData> TlsStream<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
{
    pub fn new(socket: TcpStream, session: C) -> TlsStream<C> {
        TlsStream {
            agreed: None,
            socket,
            session: Box::new(session),
            owed: 0,
        }
    }

    fn poll_flush_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Socket {
                stream: &mut self.socket,
                context,
            };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what the socket has; 0 = the peer has closed it.
    fn poll_take_in(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut socket = Socket {
            stream: &mut self.socket,
            context,
        };
        let count = match self.session.read_tls(&mut socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Err(error) = self.session.process_new_packets() {
            // the alert that says so
            let _ = self.poll_flush_out(context);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count))
    }

    /// # Errors
    /// The peer breaks the protocol, asks for what is not to be had, or leaves.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush_out(context))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_take_in(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Version and cipher suite as OpenSSL writes them.
    pub fn spoken(&self) -> Option<(&'static str, &'static str)> {
        let version = self.session.protocol_version()?;
        let suite = self.session.negotiated_cipher_suite()?;
        Some((
            elba_core::tls::version_name(version),
            elba_core::tls::suite_name(suite.suite()),
        ))
    }

    /// Whether the handshake chose HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.session.alpn_protocol() == Some(b"h2")
    }

    fn poll_write_with(
        &mut self,
        context: &mut Context<'_>,
        seal: impl FnOnce(&mut C) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.owed == 0 {
            ready!(self.poll_flush_out(context))?;
            self.owed = seal(&mut self.session)?;
        }
        ready!(self.poll_flush_out(context))?;
        Poll::Ready(Ok(std::mem::take(&mut self.owed)))
    }
}

/// Copies what is there; nothing = the end. Not by `read`, which wants all the room behind it cleared first: with the
/// `h2` crate's buffers that cost a tenth of a request.
fn read_into(reader: &mut rustls::Reader<'_>, into: &mut ReadBuf<'_>) -> io::Result<()> {
    let before = into.filled().len();
    while into.remaining() > 0 {
        match reader.fill_buf() {
            Ok([]) => break,
            Ok(chunk) => {
                let count = chunk.len().min(into.remaining());
                into.put_slice(&chunk[..count]);
                reader.consume(count);
            }
            // it says so again
            Err(_) if into.filled().len() > before => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<C, D: SideData> AsyncRead for TlsStream<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>> + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            match read_into(&mut stream.session.reader(), into) {
                Ok(()) => return Poll::Ready(Ok(())),
                // closed without a farewell, as many do: the framing of HTTP says whether something is missing
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(stream.poll_take_in(context))?;
            if stream.owed == 0 && stream.session.wants_write() {
                // an answer to a change of keys; it may wait
                let _ = stream.poll_flush_out(context)?;
            }
        }
    }
}

impl<C, D: SideData> AsyncWrite for TlsStream<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>> + Unpin,
{
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_write_with(context, |session| session.writer().write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_write_with(context, |session| session.writer().write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_out(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.session.send_close_notify();
        ready!(stream.poll_flush_out(context))?;
        Pin::new(&mut stream.socket).poll_shutdown(context)
    }
}

/// A socket read past the runtime's knowledge of it; the runtime finds out with its next look.
struct Direct<'a>(&'a TcpStream);

impl io::Read for Direct<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*socket2::SockRef::from(self.0)).read(into)
    }
}

impl io::Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*socket2::SockRef::from(self.0)).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A target's connection between two requests.
impl TlsStream<ClientConnection> {
    /// The application protocol agreed upon.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// Neither data nor a farewell has come so far.
    fn has_heard_nothing(&mut self) -> bool {
        let state = self.session.process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }

    /// Whether the target has neither closed it nor sent data on it, as far as the runtime knows. Tickets and changes
    /// of keys are taken in.
    pub fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        while self.socket.poll_read_ready(context).is_ready() {
            match self.poll_take_in(context) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return false,
            }
        }
        if self.owed == 0
            && self.session.wants_write()
            && matches!(self.poll_flush_out(context), Poll::Ready(Err(_)))
        {
            return false;
        }
        self.has_heard_nothing()
    }

    /// Tells the target that nothing more comes, if that costs no waiting.
    pub fn say_farewell(&mut self) {
        if self.owed == 0 && !self.session.is_handshaking() {
            self.session.send_close_notify();
            // an end without it is no harm
            let _ = self.session.write_tls(&mut Direct(&self.socket));
        }
    }

    /// The same as `is_quiet`, asked of the system now.
    pub fn is_quiet_now(&mut self) -> bool {
        loop {
            match self.session.read_tls(&mut Direct(&self.socket)) {
                Ok(count) if count > 0 => {
                    if !self.has_heard_nothing() {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.has_heard_nothing(),
                _ => return false,
            }
        }
    }
}

/// A target's connection under TLS, its handshake made. To be raced against a deadline.
///
/// # Errors
/// The target does not speak TLS, has nothing in common with us, does not speak the protocol that `config` offers, or
/// leaves.
pub async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<ClientConnection>> {
    let wants = config.alpn_protocols.first().cloned();
    let session = session_name(address)
        .and_then(|name| ClientConnection::new(config, name))
        .map_err(io::Error::other)?;
    let mut stream = TlsStream::new(stream, session);
    poll_fn(|context| stream.poll_handshake(context)).await?;
    if stream.alpn() != wants.as_deref() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(stream)
}

impl TlsStream<ServerConnection> {
    /// As the client showed them, its own first.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.session.peer_certificates().unwrap_or_default()
    }

    pub fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The group of the key exchange, by its IANA name.
    pub fn key_exchange(&self) -> Option<&'static str> {
        let group = self.session.negotiated_key_exchange_group()?;
        elba_core::tls::group_name(group.name())
    }
}

/// A client's connection.
pub type ClientTls = TlsStream<ServerConnection>;
