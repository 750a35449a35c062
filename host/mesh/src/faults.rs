//! Calls that fail on purpose: what the manifest declares, and what is put in by hand while the host runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use weft_core::manifest::mesh::FaultRule;
use weft_core::{Clock, Failure, Fault, Reason};

/// Any 64 bits at random: of the machine, or of a test.
pub type Random = fn() -> u64;

/// The most faults by hand at a time.
const MAX_BY_HAND: usize = 64;

/// There are as many faults by hand as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_BY_HAND} faults by hand already: clear some")]
pub struct TooManyFaults;

/// The rules.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    declared: ArcSwap<Vec<FaultRule>>,
    by_hand: ArcSwap<Vec<FaultRule>>,
}

/// Who calls what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck<'a> {
    pub callee: &'a str,
    /// None of the application's functions, if not told.
    pub caller: Option<&'a str>,
    /// Interface and function; a request over HTTP has none.
    pub function: Option<(&'a str, &'a str)>,
}

impl Faults {
    pub fn declare(&self, rules: Vec<FaultRule>) {
        self.declared.store(Arc::new(rules));
    }

    pub fn add(&self, rule: &FaultRule) -> Result<(), TooManyFaults> {
        let mut is_full = false;
        self.by_hand.rcu(|rules| {
            let mut rules = Vec::clone(rules);
            is_full = rules.len() >= MAX_BY_HAND;
            if !is_full {
                rules.push(rule.clone());
            }
            rules
        });
        if is_full { Err(TooManyFaults) } else { Ok(()) }
    }

    /// Answers how many there were.
    pub fn clear(&self) -> usize {
        self.by_hand.swap(Arc::default()).len()
    }

    /// Those that the manifest declares, and those by hand.
    pub fn rules(&self) -> (Arc<Vec<FaultRule>>, Arc<Vec<FaultRule>>) {
        (self.declared.load_full(), self.by_hand.load_full())
    }

    /// Delays or fails this call, if a rule strikes it: the first that does counts.
    pub async fn strike(&self, struck: Struck<'_>, clock: &dyn Clock, random: Random) -> Result<(), Failure> {
        let (declared, by_hand) = (self.declared.load(), self.by_hand.load());
        if declared.is_empty() && by_hand.is_empty() {
            return Ok(());
        }
        let mut rules = by_hand.iter().chain(declared.iter());
        let Some(rule) = rules.find(|rule| matches(rule, &struck) && random() % 100 < rule.percent.into()).cloned()
        else {
            return Ok(());
        };
        drop((declared, by_hand));
        if let Some(delay_ms) = rule.delay_ms {
            clock.sleep(Duration::from_millis(delay_ms.into())).await;
        }
        rule.abort.map_or(Ok(()), |reason| Err(on_purpose(struck.callee, reason)))
    }
}

fn matches(rule: &FaultRule, struck: &Struck<'_>) -> bool {
    let is = |wanted: &Option<Arc<str>>, one: Option<&str>| wanted.as_deref().is_none_or(|wanted| one == Some(wanted));
    let function = rule.function.as_deref().is_none_or(|wanted| wanted.split_once('#') == struck.function);
    is(&rule.callee, Some(struck.callee)) && is(&rule.caller, struck.caller) && function
}

/// As it would look if it were not on purpose: what traps or takes too long may have had its effect.
fn on_purpose(callee: &str, reason: Reason) -> Failure {
    let message = format!("a fault that is set for {callee}");
    match reason {
        Reason::Trapped | Reason::Deadline => Failure::unknown(Fault::Guest, reason, message),
        _ => Failure::not_attempted(Fault::Host, reason, message),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use weft_core::clock::ManualClock;

    use super::*;

    fn rule() -> FaultRule {
        FaultRule {
            callee: None,
            caller: None,
            function: None,
            percent: 100,
            delay_ms: None,
            abort: Some(Reason::Unavailable),
        }
    }

    fn strikes(rule: FaultRule, random: Random) -> bool {
        let faults = Faults::default();
        faults.declare(vec![rule]);
        let struck = Struck { callee: "seats", caller: Some("enroll"), function: Some(("a:b/c", "reserve")) };
        let clock = ManualClock::at_ms(0);
        faults.strike(struck, &clock, random).now_or_never().unwrap().is_err()
    }

    #[test]
    fn a_rule_strikes_whom_it_names() {
        let some = |text: &str| Some(Arc::from(text));
        for (rule, expected) in [
            (rule(), true),
            (FaultRule { callee: some("seats"), ..rule() }, true),
            (FaultRule { callee: some("other"), ..rule() }, false),
            (FaultRule { caller: some("enroll"), ..rule() }, true),
            (FaultRule { caller: some("other"), ..rule() }, false),
            (FaultRule { function: some("a:b/c#reserve"), ..rule() }, true),
            (FaultRule { function: some("a:b/c#release"), ..rule() }, false),
            (FaultRule { abort: None, ..rule() }, false),
        ] {
            assert_eq!(strikes(rule.clone(), || 0), expected, "{rule:?}");
        }
        assert!(strikes(FaultRule { percent: 30, ..rule() }, || 129));
        assert!(!strikes(FaultRule { percent: 30, ..rule() }, || 130));
    }

    #[tokio::test]
    async fn a_delay_takes_its_time() {
        let faults = Faults::default();
        faults.add(&FaultRule { delay_ms: Some(200), abort: None, ..rule() }).unwrap();
        let clock = ManualClock::at_ms(0);
        let struck = Struck { callee: "seats", caller: None, function: None };
        let mut strike = Box::pin(faults.strike(struck, &clock, || 0));
        assert!(strike.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_millis(200));
        strike.await.unwrap();
        assert_eq!(faults.clear(), 1);
    }
}
