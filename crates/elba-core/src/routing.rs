//! Which rule of a listener a request meets.

use crate::protocol;

#[derive(Debug)]
pub struct Router {}

impl Router {
    pub fn compile(
        _listener: &protocol::Listener,
        _scale: f64,
        _resolve: &mut dyn FnMut(&str) -> Option<u32>,
        _problems: &mut Vec<String>,
    ) -> Router {
        Router {}
    }

    /// Whether a host-header condition of some rule matches this host (lower case, no port).
    pub fn names_host(&self, _host: &[u8]) -> bool {
        false
    }
}
