//! How many calls of the handler of a work queue may run at once, by how much waits. Up and down are far apart, and each
//! change takes its time, so that the number does not flutter.

use weft_core::manifest::WorkQueue;

/// The shortest time between two changes.
const PAUSE_MS: u64 = 500;

#[derive(Debug)]
pub(super) struct Scale {
    rules: Option<WorkQueue>,
    instances: u32,
    not_before_ms: u64,
}

impl Scale {
    pub(super) fn new(rules: Option<WorkQueue>) -> Self {
        Self { rules, instances: rules.map_or(0, |rules| rules.min), not_before_ms: 0 }
    }

    pub(super) fn set_rules(&mut self, rules: Option<WorkQueue>) {
        self.rules = rules;
        self.instances = rules.map_or(0, |rules| self.instances.clamp(rules.min, rules.max.max(rules.min)));
    }

    /// How many, if this is a work queue.
    pub(super) fn instances(&self) -> Option<usize> {
        self.rules?;
        Some(usize::try_from(self.instances).unwrap_or(usize::MAX))
    }

    /// How many there should be at this backlog: half as many again, or one fewer.
    fn wanted(&self, backlog: u64) -> Option<u32> {
        let rules = self.rules?;
        let wanted = if backlog >= rules.up_at.into() {
            (self.instances + (self.instances / 2).max(1)).min(rules.max)
        } else if backlog <= rules.down_at.into() {
            self.instances.saturating_sub(1).max(rules.min)
        } else {
            self.instances
        };
        (wanted != self.instances).then_some(wanted)
    }

    /// When the number may change next, if it is to.
    pub(super) fn next_change_ms(&self, backlog: u64) -> Option<u64> {
        self.wanted(backlog).map(|_| self.not_before_ms)
    }

    pub(super) fn adjust(&mut self, backlog: u64, now_ms: u64) {
        if now_ms < self.not_before_ms {
            return;
        }
        if let Some(wanted) = self.wanted(backlog) {
            self.instances = wanted;
            self.not_before_ms = now_ms + PAUSE_MS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_follow_the_backlog_with_hysteresis() {
        let mut scale = Scale::new(Some(WorkQueue::default()));
        let mut now_ms = 0;
        let mut at = |scale: &mut Scale, backlog, steps| {
            for _ in 0..steps {
                scale.adjust(backlog, now_ms);
                scale.adjust(backlog, now_ms);
                now_ms += PAUSE_MS;
            }
            scale.instances().unwrap()
        };
        assert_eq!(at(&mut scale, 99, 10), 2);
        assert_eq!(at(&mut scale, 100, 1), 3, "one step at a time");
        assert_eq!(at(&mut scale, 100, 10), 20);
        assert_eq!(at(&mut scale, 11, 10), 20, "between the two it stays");
        assert_eq!(at(&mut scale, 10, 1), 19);
        assert_eq!(at(&mut scale, 0, 30), 2);
        assert_eq!(scale.next_change_ms(0), None);
        assert!(scale.next_change_ms(1_000).is_some());
        assert_eq!(Scale::new(None).instances(), None);
    }
}
