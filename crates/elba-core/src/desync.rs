//! HTTP desync classification and what each mitigation mode makes of it.
//! Source: alb.md section 13 and the rules of the desync guardian that AWS has published.

/// How dangerous a request's departure from the standard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Acceptable,
    Ambiguous,
    Severe,
}

impl Tier {
    /// As the access log names it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Acceptable => "Acceptable",
            Tier::Ambiguous => "Ambiguous",
            Tier::Severe => "Severe",
        }
    }
}

/// Why a request is not compliant, as the access log names it (`classification_reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NonCompliantHeader,
    SpaceInUri,
    NonCompliantVersion,
    GetHeadZeroContentLength,
    NonCrLfLineTermination,
    EmptyHeader,
    AmbiguousUri,
    UndefinedContentLengthSemantics,
    UndefinedTransferEncodingSemantics,
    DuplicateContentLength,
    BothTeClPresent,
    SuspiciousHeader,
    MultilineHeader,
    MissingHeaderColon,
    SuspiciousTeClPresent,
    BadHeader,
    BadUri,
    BadVersion,
    BadMethod,
    BadContentLength,
    MultipleContentLength,
    MultipleTransferEncodingChunked,
    BadTransferEncoding,
}

impl Reason {
    pub fn tier(self) -> Tier {
        use Reason::*;
        match self {
            NonCompliantHeader
            | SpaceInUri
            | NonCompliantVersion
            | GetHeadZeroContentLength
            | NonCrLfLineTermination => Tier::Acceptable,
            EmptyHeader
            | AmbiguousUri
            | UndefinedContentLengthSemantics
            | UndefinedTransferEncodingSemantics
            | DuplicateContentLength
            | BothTeClPresent
            | SuspiciousHeader
            | MultilineHeader
            | MissingHeaderColon => Tier::Ambiguous,
            SuspiciousTeClPresent
            | BadHeader
            | BadUri
            | BadVersion
            | BadMethod
            | BadContentLength
            | MultipleContentLength
            | MultipleTransferEncodingChunked
            | BadTransferEncoding => Tier::Severe,
        }
    }

    pub fn name(self) -> &'static str {
        use Reason::*;
        match self {
            NonCompliantHeader => "NonCompliantHeader",
            SpaceInUri => "SpaceInUri",
            NonCompliantVersion => "NonCompliantVersion",
            GetHeadZeroContentLength => "GetHeadZeroContentLength",
            NonCrLfLineTermination => "NonCrLfLineTermination",
            EmptyHeader => "EmptyHeader",
            AmbiguousUri => "AmbiguousUri",
            UndefinedContentLengthSemantics => "UndefinedContentLengthSemantics",
            UndefinedTransferEncodingSemantics => "UndefinedTransferEncodingSemantics",
            DuplicateContentLength => "DuplicateContentLength",
            BothTeClPresent => "BothTeClPresent",
            SuspiciousHeader => "SuspiciousHeader",
            MultilineHeader => "MultilineHeader",
            MissingHeaderColon => "MissingHeaderColon",
            SuspiciousTeClPresent => "SuspiciousTeClPresent",
            BadHeader => "BadHeader",
            BadUri => "BadUri",
            BadVersion => "BadVersion",
            BadMethod => "BadMethod",
            BadContentLength => "BadContentLength",
            MultipleContentLength => "MultipleContentLength",
            MultipleTransferEncodingChunked => "MultipleTransferEncodingChunked",
            BadTransferEncoding => "BadTransferEncoding",
        }
    }
}

/// The reason that stands: the first one of the highest tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Classification(Option<Reason>);

impl Classification {
    pub fn note(&mut self, reason: Reason) {
        if self.0.is_none_or(|known| known.tier() < reason.tier()) {
            self.0 = Some(reason);
        }
    }

    /// None = compliant
    pub fn reason(self) -> Option<Reason> {
        self.0
    }
}

/// routing.http.desync_mitigation_mode
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesyncMode {
    Monitor,
    Defensive,
    Strictest,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Route,
    /// and close the client's and the target's connection after the response
    RouteThenClose,
    /// 400, close
    Block,
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

    pub fn judge(self, classification: Classification) -> Verdict {
        let Some(reason) = classification.reason() else {
            return Verdict::Route;
        };
        match (self, reason.tier()) {
            (DesyncMode::Monitor, _) | (DesyncMode::Defensive, Tier::Acceptable) => Verdict::Route,
            (DesyncMode::Defensive, Tier::Ambiguous) => Verdict::RouteThenClose,
            (DesyncMode::Defensive, Tier::Severe) | (DesyncMode::Strictest, _) => Verdict::Block,
        }
    }
}

/// Whether a field name that is neither could be taken for Transfer-Encoding or Content-Length: equal once all but
/// letters and digits are dropped, U+017F and U+0131 counted as s and i. Some(true) = Transfer-Encoding.
pub fn look_alike(name: &[u8]) -> Option<bool> {
    // only names of 13 bytes or more whose first letter fits can be one; padding bytes have no upper limit
    if name.len() < 13 {
        return None;
    }
    let first = name.iter().find(|byte| byte.is_ascii_alphabetic())?;
    let (is_te, wanted): (bool, &[u8]) = match first.to_ascii_lowercase() {
        b't' => (true, b"transferencoding"),
        b'c' => (false, b"contentlength"),
        _ => return None,
    };
    let mut wanted = wanted.iter();
    let mut at = 0;
    while at < name.len() {
        let letter = match &name[at..] {
            [0xC5, 0xBF, ..] => {
                at += 1;
                b's'
            }
            [0xC4, 0xB1, ..] => {
                at += 1;
                b'i'
            }
            [byte, ..] if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
            _ => {
                at += 1;
                continue;
            }
        };
        at += 1;
        if wanted.next() != Some(&letter) {
            return None;
        }
    }
    wanted.next().is_none().then_some(is_te)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_the_highest_tier_stands() {
        let mut found = Classification::default();
        for reason in [
            Reason::NonCompliantHeader,
            Reason::EmptyHeader,
            Reason::AmbiguousUri,
            Reason::SpaceInUri,
        ] {
            found.note(reason);
        }
        assert_eq!(found.reason(), Some(Reason::EmptyHeader));
    }

    #[test]
    fn modes() {
        let table = [
            (
                Reason::SpaceInUri,
                [Verdict::Route, Verdict::Route, Verdict::Block],
            ),
            (
                Reason::EmptyHeader,
                [Verdict::Route, Verdict::RouteThenClose, Verdict::Block],
            ),
            (
                Reason::BadHeader,
                [Verdict::Route, Verdict::Block, Verdict::Block],
            ),
        ];
        for (reason, verdicts) in table {
            let mut found = Classification::default();
            found.note(reason);
            for (mode, verdict) in ["monitor", "defensive", "strictest"].iter().zip(verdicts) {
                assert_eq!(DesyncMode::parse(mode).judge(found), verdict, "{reason:?} {mode}");
            }
        }
        assert_eq!(
            DesyncMode::Strictest.judge(Classification::default()),
            Verdict::Route
        );
    }

    #[test]
    fn look_alikes() {
        for (name, is_te) in [
            ("Transfer_Encoding", true),
            ("Transfer-Encoding ", true),
            ("tran\u{17f}fer-encoding", true),
            ("transfer-encod\u{131}ng", true),
            ("TransferEncoding", true),
            ("\u{1}Content-Length", false),
            ("content---length", false),
            ("Content-Length\t", false),
        ] {
            assert_eq!(look_alike(name.as_bytes()), Some(is_te), "{name:?}");
        }
        for name in [
            "Content-Type",
            "Content-Lengths",
            "X-Content-Length",
            "Transfer-Encodin",
            "Content-Encoding",
        ] {
            assert_eq!(look_alike(name.as_bytes()), None, "{name:?}");
        }
    }
}
