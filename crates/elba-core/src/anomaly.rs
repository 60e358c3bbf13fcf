//! Which targets of a group fail more than the others do, and how much traffic those keep. Source: alb.md section 7
//! (AWS's "Automatic Target Weights"; its statistics are unpublished, these are Elba's own).
//!
//! Every 5 seconds each target's answers and errors (5xx of the target, failed connections) are added to what is left
//! of the former ones. A target is anomalous when its share of errors stands out against that of the better half of
//! the others, both in size and beyond chance. Never do half of the targets or more: what most do is no anomaly.

use std::collections::{HashMap, HashSet};

/// Of clock time.
pub const PERIOD_SECONDS: f64 = 5.0;
/// Fewer healthy targets cannot be compared.
pub const FEWEST_TARGETS: usize = 3;
/// What a full weight is.
pub const FULL_WEIGHT: u32 = 1000;
/// An anomalous target always keeps this much, or nobody would notice that it is well again.
const LEAST_WEIGHT: u32 = 50;
const REGAINED_WEIGHT: u32 = 100;
/// How much of the former evidence is left at the next look.
const MEMORY: f64 = 0.7;
const FEWEST_ANSWERS: f64 = 5.0;
const FEWEST_ERRORS: f64 = 3.0;
/// A share of errors stands out by so much, so many times the others', and so many standard deviations.
const DIFFERENCE: f64 = 0.05;
const RATIO: f64 = 3.0;
const DEVIATIONS: f64 = 3.0;

/// What happened at a healthy target since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// answers of the target and failed connections
    pub outcomes: u64,
    pub errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub anomalous: bool,
    /// of `FULL_WEIGHT`; less only where mitigation is on
    pub weight: u32,
}

impl Verdict {
    pub const NORMAL: Verdict = Verdict {
        anomalous: false,
        weight: FULL_WEIGHT,
    };

    pub fn is_mitigated(self) -> bool {
        self.weight < FULL_WEIGHT
    }
}

#[derive(Debug, Clone, Copy)]
struct Track {
    outcomes: f64,
    errors: f64,
    verdict: Verdict,
}

impl Track {
    fn share(&self) -> f64 {
        if self.outcomes > 0.0 {
            self.errors / self.outcomes
        } else {
            0.0
        }
    }
}

/// One group's targets, watched.
#[derive(Debug, Default)]
pub struct Detector {
    tracks: HashMap<String, Track>,
}

impl Detector {
    /// What to think of each healthy target, given what happened since the last look. `mitigates`: whether anomalous
    /// ones are to lose weight.
    pub fn look(&mut self, counts: &[(String, Count)], mitigates: bool) -> Vec<(String, Verdict)> {
        self.tracks
            .retain(|key, _| counts.iter().any(|(known, _)| known == key));
        for (key, count) in counts {
            let track = self.tracks.entry(key.clone()).or_insert(Track {
                outcomes: 0.0,
                errors: 0.0,
                verdict: Verdict::NORMAL,
            });
            track.outcomes = track.outcomes * MEMORY + count.outcomes as f64;
            track.errors = track.errors * MEMORY + count.errors as f64;
        }
        let enough = counts.len() >= FEWEST_TARGETS;
        let standing_out = self
            .tracks
            .iter()
            .filter(|(key, track)| self.stands_out(key, track));
        let mut suspects: HashSet<String> = standing_out.map(|(key, _)| key.clone()).collect();
        if !enough || suspects.len() * 2 >= counts.len() {
            suspects.clear();
        }
        for (key, track) in &mut self.tracks {
            let anomalous = suspects.contains(key);
            let weight = if !mitigates || !enough {
                FULL_WEIGHT
            } else if anomalous {
                (track.verdict.weight / 2).max(LEAST_WEIGHT)
            } else {
                (track.verdict.weight + REGAINED_WEIGHT).min(FULL_WEIGHT)
            };
            track.verdict = Verdict { anomalous, weight };
        }
        counts
            .iter()
            .filter_map(|(key, _)| Some((key.clone(), self.tracks.get(key)?.verdict)))
            .collect()
    }

    fn stands_out(&self, key: &str, track: &Track) -> bool {
        let needed = if track.verdict.anomalous {
            1.0
        } else {
            FEWEST_ANSWERS
        };
        let errors_needed = if track.verdict.anomalous {
            1.0
        } else {
            FEWEST_ERRORS
        };
        if track.outcomes < needed || track.errors < errors_needed {
            return false;
        }
        let mut others: Vec<&Track> = self
            .tracks
            .iter()
            .filter(|(other, _)| *other != key)
            .map(|(_, other)| other)
            .collect();
        others.sort_by(|one, two| one.share().total_cmp(&two.share()));
        others.truncate(others.len().div_ceil(2));
        let outcomes: f64 = others.iter().map(|other| other.outcomes).sum();
        let errors: f64 = others.iter().map(|other| other.errors).sum();
        if outcomes < 1.0 {
            return false;
        }
        let usual = (errors + 0.5) / (outcomes + 1.0);
        let deviation = (usual * (1.0 - usual) / track.outcomes).sqrt();
        // one that is known to be anomalous has to become clearly better before it is trusted again
        let ease = if track.verdict.anomalous { 0.5 } else { 1.0 };
        let share = track.share();
        share - usual >= DIFFERENCE * ease
            && share >= usual * RATIO * ease
            && share - usual >= deviation * DEVIATIONS * ease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(u64, u64)]) -> Vec<(String, Count)> {
        of.iter()
            .enumerate()
            .map(|(index, (outcomes, errors))| {
                let count = Count {
                    outcomes: *outcomes,
                    errors: *errors,
                };
                (format!("t{index}"), count)
            })
            .collect()
    }

    fn anomalous(detector: &mut Detector, of: &[(u64, u64)]) -> Vec<bool> {
        let verdicts = detector.look(&counts(of), false);
        verdicts.iter().map(|(_, verdict)| verdict.anomalous).collect()
    }

    #[test]
    fn one_that_fails_among_those_that_do_not() {
        let fresh = Detector::default;
        assert_eq!(
            anomalous(&mut fresh(), &[(100, 30), (100, 0), (100, 1)]),
            [true, false, false]
        );
        // all fail alike, or most do: the service, not a target
        assert_eq!(
            anomalous(&mut fresh(), &[(100, 30), (100, 31), (100, 29)]),
            [false; 3]
        );
        assert_eq!(
            anomalous(&mut fresh(), &[(100, 50), (100, 50), (100, 0)]),
            [false; 3]
        );
        // too few to compare, too little to say
        assert_eq!(anomalous(&mut fresh(), &[(100, 100), (100, 0)]), [false; 2]);
        assert_eq!(anomalous(&mut fresh(), &[(4, 4), (4, 0), (4, 0)]), [false; 3]);
        assert_eq!(
            anomalous(&mut fresh(), &[(1000, 8), (1000, 5), (1000, 4)]),
            [false; 3]
        );
        assert_eq!(anomalous(&mut fresh(), &[(0, 0), (0, 0), (0, 0)]), [false; 3]);
        // two of five
        assert_eq!(
            anomalous(&mut fresh(), &[(50, 50), (50, 25), (50, 0), (50, 0), (50, 0)]),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn weights_fall_but_never_to_nothing_and_come_back() {
        let mut detector = Detector::default();
        let bad = counts(&[(100, 50), (100, 0), (100, 0)]);
        let weight = |verdicts: Vec<(String, Verdict)>| verdicts[0].1.weight;
        let falling: Vec<u32> = (0..8).map(|_| weight(detector.look(&bad, true))).collect();
        assert_eq!(falling, [500, 250, 125, 62, 50, 50, 50, 50]);
        let good = counts(&[(100, 0), (100, 0), (100, 0)]);
        let rising: Vec<u32> = (0..20).map(|_| weight(detector.look(&good, true))).collect();
        assert!(rising.is_sorted_by(|one, two| one <= two || *two == LEAST_WEIGHT));
        assert_eq!(rising.last(), Some(&FULL_WEIGHT));
        assert!(!detector.look(&good, true)[0].1.is_mitigated());
    }

    #[test]
    fn without_mitigation_weights_stay_full() {
        let mut detector = Detector::default();
        let verdicts = detector.look(&counts(&[(100, 90), (100, 0), (100, 0)]), false);
        assert_eq!(
            verdicts[0].1,
            Verdict {
                anomalous: true,
                weight: FULL_WEIGHT
            }
        );
        // it leaves; the rest is too few
        assert_eq!(
            detector.look(&counts(&[(100, 90), (100, 0)]), true)[0].1,
            Verdict::NORMAL
        );
    }

    #[test]
    fn evidence_fades_when_traffic_ends() {
        let mut detector = Detector::default();
        assert!(
            detector.look(&counts(&[(100, 90), (100, 0), (100, 0)]), true)[0]
                .1
                .anomalous
        );
        let quiet = counts(&[(0, 0), (0, 0), (0, 0)]);
        let last = (0..30).map(|_| detector.look(&quiet, true)[0].1).last();
        assert_eq!(last, Some(Verdict::NORMAL));
    }
}
