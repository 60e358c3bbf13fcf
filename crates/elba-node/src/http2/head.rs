//! Heads between HTTP/2 and HTTP/1. What has passed the `h2` crate holds no byte that could end a line or a field.

use elba_core::http1::request::RequestHead;
use elba_core::http1::response::ResponseHead;
use elba_core::http1::Name;
use http::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE};
use http::{request, response, Method, Request, Response, StatusCode, Uri, Version};

/// How the body of a request comes to the HTTP/1 side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    None,
    /// as long as the head says
    Plain,
    /// of a length that nobody knows yet: in chunks
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's head contradicts itself")]
pub struct BadHead;

/// Fields that belong to one connection, and those that are written anew.
fn is_left_out(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "cookie"
            | "expect"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The length that the request states.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, BadHead> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    if lengths.next().is_some() || !first.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(BadHead);
    }
    let text = first.to_str().map_err(|_| BadHead)?;
    text.parse().map(Some).map_err(|_| BadHead)
}

/// Appends the request as an HTTP/1.1 head. `ends`: no body follows.
///
/// # Errors
/// The stream is to be reset: PROTOCOL_ERROR.
pub fn push_request(out: &mut Vec<u8>, request: &request::Parts, ends: bool) -> Result<RequestBody, BadHead> {
    let length = content_length(&request.headers)?;
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    match request.uri.path_and_query().map(|path| path.as_str()) {
        Some(path) if !path.is_empty() => out.extend_from_slice(path.as_bytes()),
        _ => out.push(b'/'),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = request
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes())
        .or(request.headers.get(HOST).map(HeaderValue::as_bytes));
    if let Some(authority) = authority {
        push_field(out, b"Host", authority);
    }
    for (name, value) in &request.headers {
        if !is_left_out(name) {
            push_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let mut cookies = request.headers.get_all(COOKIE).iter();
    if let Some(first) = cookies.next() {
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for crumb in cookies {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(crumb.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    let body = match (ends, length) {
        (true, None | Some(0)) if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            push_field(out, b"content-length", b"0");
            RequestBody::None
        }
        (true, None | Some(0)) => RequestBody::None,
        (true, Some(_)) => return Err(BadHead),
        (false, Some(length)) => {
            push_expectation(out, request);
            push_field(out, b"content-length", length.to_string().as_bytes());
            RequestBody::Plain
        }
        (false, None) => {
            push_expectation(out, request);
            push_field(out, b"transfer-encoding", b"chunked");
            RequestBody::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    Ok(body)
}

/// The one expectation that there is; others are left out.
fn push_expectation(out: &mut Vec<u8>, request: &request::Parts) {
    let expected = request.headers.get(EXPECT);
    if expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        push_field(out, b"expect", b"100-continue");
    }
}

/// The request for a target that speaks HTTP/2, from the HTTP/1 head that was made for it. `head` is used for
/// parsing. None if it makes no HTTP/2 request.
pub fn request(bytes: &[u8], head: &mut RequestHead, is_grpc: bool) -> Option<Request<()>> {
    head.parse(bytes).ok()??;
    let authority = head.host.map_or(&b""[..], |host| host.of(bytes));
    let mut uri = Uri::builder()
        .scheme("http")
        .path_and_query(head.target.of(bytes));
    if !authority.is_empty() {
        uri = uri.authority(authority);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method.of(bytes)).ok()?;
    *request.uri_mut() = uri.build().ok()?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.reserve(head.fields.len());
    for field in &head.fields {
        let name = HeaderName::from_bytes(field.name.of(bytes)).ok()?;
        if name == CONTENT_LENGTH || name == COOKIE || !is_left_out(&name) {
            headers.append(name, HeaderValue::from_bytes(field.value.of(bytes)).ok()?);
        }
    }
    if is_grpc {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(request)
}

/// Appends a target's answer as an HTTP/1 head, for the code that decides what of it is passed on.
pub fn push_response(out: &mut Vec<u8>, response: &response::Parts) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.extend_from_slice(b" \r\n");
    for (name, value) in &response.headers {
        push_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The answer whose HTTP/1 head is in `bytes`, parsed into `head`, without what belongs to an HTTP/1 connection.
/// None for a status that HTTP/2 does not have.
pub fn response(bytes: &[u8], head: &ResponseHead) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    let headers = response.headers_mut();
    headers.reserve(head.fields.len());
    for field in &head.fields {
        let of_connection = matches!(
            field.kind,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade
        );
        if of_connection {
            continue;
        }
        let name = HeaderName::from_bytes(field.name.of(bytes));
        let value = HeaderValue::from_bytes(field.value.of(bytes));
        // what HTTP/2 cannot carry (a control character) is left out
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(request: Request<()>, ends: bool) -> Result<(String, RequestBody), BadHead> {
        let (parts, ()) = request.into_parts();
        let mut out = Vec::new();
        let body = push_request(&mut out, &parts, ends)?;
        Ok((String::from_utf8(out).unwrap(), body))
    }

    #[test]
    fn a_request_becomes_one_head() {
        let request = Request::get("https://shop.example/a?b=c")
            .header("accept", "*/*")
            .header("cookie", "a=1")
            .header("te", "trailers")
            .header("cookie", "b=2")
            .header("host", "other.example")
            .body(())
            .unwrap();
        let (text, body) = pushed(request, true).unwrap();
        assert_eq!(
            text,
            "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\naccept: */*\r\ncookie: a=1; b=2\r\n\r\n"
        );
        assert_eq!(body, RequestBody::None);
    }

    #[test]
    fn bodies_are_framed_by_us() {
        let post = |length: Option<&str>, ends: bool| {
            let mut request = Request::post("https://h/");
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            pushed(request.body(()).unwrap(), ends)
        };
        assert!(post(None, true).unwrap().0.contains("content-length: 0\r\n"));
        assert!(post(None, false)
            .unwrap()
            .0
            .contains("transfer-encoding: chunked\r\n"));
        assert_eq!(post(Some("7"), false).unwrap().1, RequestBody::Plain);
        assert_eq!(post(Some("7"), true), Err(BadHead));
        assert_eq!(post(Some("+7"), false), Err(BadHead));
        assert_eq!(post(Some("7, 7"), false), Err(BadHead));
        assert_eq!(post(Some("99999999999999999999"), false), Err(BadHead));
    }

    #[test]
    fn an_answer_loses_what_is_of_its_connection() {
        let bytes =
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A: b\r\n\r\n";
        let mut head = ResponseHead::default();
        head.parse(bytes).unwrap().unwrap();
        let response = response(bytes, &head).unwrap();
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers().len(), 2);
        assert_eq!(response.headers()["x-a"], "b");
    }
}
