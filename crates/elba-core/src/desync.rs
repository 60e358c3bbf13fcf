//! HTTP desync classification. Source: alb.md section 13.

/// routing.http.desync_mitigation_mode
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesyncMode {
    Monitor,
    Defensive,
    Strictest,
}

impl DesyncMode {
    /// An unknown name is the default, defensive.
    pub fn parse(name: &str) -> DesyncMode {
        match name {
            "monitor" => DesyncMode::Monitor,
            "strictest" => DesyncMode::Strictest,
            _ => DesyncMode::Defensive,
        }
    }
}
