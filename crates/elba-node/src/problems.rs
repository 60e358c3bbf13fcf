//! Standing problems of a node, for people: shown in every report until they are solved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the node's threads, none of them on the request path.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<BTreeMap<String, String>>>);

impl Problems {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the problem of `key`; true if it is new or reads differently, and so is worth a log line.
    pub fn set(&self, key: &str, text: String) -> bool {
        self.lock().insert(key.to_owned(), text.clone()) != Some(text)
    }

    /// True if there was one.
    pub fn clear(&self, key: &str) -> bool {
        self.lock().remove(key).is_some()
    }

    /// Replaces all problems whose key starts with `prefix`.
    pub fn replace(&self, prefix: &str, texts: impl IntoIterator<Item = String>) {
        let mut all = self.lock();
        all.retain(|key, _| !key.starts_with(prefix));
        for (n, text) in texts.into_iter().enumerate() {
            all.insert(format!("{prefix}{n:06}"), text);
        }
    }

    pub fn all(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }
}
