//! Health checks over HTTP/2: a GET for groups of protocol version HTTP2, a call of gRPC for GRPC. Source: alb.md
//! section 9.

use bytes::Bytes;
use elba_core::health::Outcome;
use elba_core::http1::request::RequestHead;
use h2::client::Builder;
use http::header::{HeaderMap, HeaderValue, CONTENT_TYPE};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};

use super::head;

/// A message of gRPC without content: not compressed, of length 0.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
/// What is read of the answer to a call until its status comes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

fn grpc_status(fields: &HeaderMap) -> Option<u16> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// One check on a fresh connection. `request` is the check as HTTP/1 would make it. To be raced against a time-out.
///
/// # Errors
/// The outcome of a target that gives no answer that can be judged.
pub async fn check<C>(
    stream: C,
    request: &[u8],
    is_grpc: bool,
    judge: impl Fn(u16) -> Outcome,
) -> Result<Outcome, Outcome>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut ask = head::request(request, &mut RequestHead::default(), is_grpc).ok_or(Outcome::Internal)?;
    if is_grpc {
        *ask.method_mut() = Method::POST;
        ask.headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    let handshake = Builder::new().enable_push(false).handshake::<_, Bytes>(stream);
    let (send, connection) = handshake.await.map_err(|_| Outcome::Failed)?;
    let asking = async move {
        let mut send = send.ready().await.map_err(|_| Outcome::Failed)?;
        let (answer, mut body) = send.send_request(ask, !is_grpc).map_err(|_| Outcome::Failed)?;
        if is_grpc {
            body.send_data(Bytes::from_static(&EMPTY_MESSAGE), true)
                .map_err(|_| Outcome::Failed)?;
        }
        let (parts, mut body) = answer.await.map_err(|_| Outcome::Failed)?.into_parts();
        let mut code = parts.status.as_u16();
        if is_grpc {
            if code != 200 {
                return Ok(Outcome::CodeMismatch(code));
            }
            let mut status = grpc_status(&parts.headers);
            let mut read = 0;
            while status.is_none() && read < MAX_ANSWER_BYTES {
                match body.data().await {
                    Some(Ok(data)) => {
                        read += data.len();
                        let _ = body.flow_control().release_capacity(data.len());
                    }
                    Some(Err(_)) => return Err(Outcome::Failed),
                    None => {
                        let trailers = body.trailers().await.map_err(|_| Outcome::Failed)?;
                        status = trailers.as_ref().and_then(grpc_status);
                        break;
                    }
                }
            }
            code = status.ok_or(Outcome::Failed)?;
        }
        Ok(judge(code))
    };
    tokio::select! {
        outcome = asking => outcome,
        // it has ended before the answer was there
        _ = connection => Err(Outcome::Failed),
    }
}
