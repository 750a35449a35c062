//! Who takes the deliveries of a place in the log: one subscription, or the members of a group, of which the one with
//! the fewest calls that run comes next, and of these the one with the fewest so far.

use std::sync::Arc;

use super::super::Subscription;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) component: Arc<str>,
    pub(super) name: Arc<str>,
    concurrency: usize,
    running: usize,
    /// Calls since it is a member.
    calls: u64,
}

#[derive(Debug)]
pub(super) struct Members {
    members: Vec<Member>,
    prefetch: usize,
}

impl Members {
    pub(super) fn new(subscriptions: &[Subscription]) -> Self {
        let mut members = Self { members: Vec::new(), prefetch: 0 };
        members.replace(subscriptions);
        members
    }

    pub(super) fn replace(&mut self, subscriptions: &[Subscription]) {
        let before = std::mem::take(&mut self.members);
        for Subscription { component, rules } in subscriptions {
            let same = |member: &&Member| member.component == *component && member.name == rules.name;
            let (running, calls) = before.iter().find(same).map_or((0, 0), |member| (member.running, member.calls));
            let concurrency = rules.queue.map_or(rules.concurrency, |queue| queue.max);
            self.members.push(Member {
                component: Arc::clone(component),
                name: Arc::clone(&rules.name),
                concurrency: to_usize(concurrency),
                running,
                calls,
            });
        }
        let prefetch = |one: &Subscription| match one.rules.queue {
            // All instances of a work queue have something to do.
            Some(queue) => to_usize(one.rules.prefetch).max(to_usize(queue.max) * to_usize(one.rules.batch)),
            None => to_usize(one.rules.prefetch),
        };
        self.prefetch = subscriptions.iter().map(prefetch).sum();
    }

    /// Forgets all calls.
    pub(super) fn replace_running(&mut self) {
        self.members.iter_mut().for_each(|member| member.running = 0);
    }

    pub(super) fn concurrency(&self) -> usize {
        self.members.iter().map(|member| member.concurrency).sum()
    }

    /// Events that may be handed out at once.
    pub(super) fn prefetch(&self) -> usize {
        self.prefetch
    }

    pub(super) fn running(&self) -> usize {
        self.members.iter().map(|member| member.running).sum()
    }

    /// The member for the next call.
    pub(super) fn begin(&mut self) -> Option<Member> {
        let free = self.members.iter_mut().filter(|member| member.running < member.concurrency);
        let member = free.min_by_key(|member| (member.running, member.calls))?;
        member.running += 1;
        member.calls += 1;
        Some(member.clone())
    }

    /// A call has ended; its member may be gone.
    pub(super) fn end(&mut self, ended: &Member) {
        let same = |member: &&mut Member| member.component == ended.component && member.name == ended.name;
        if let Some(member) = self.members.iter_mut().find(same) {
            member.running = member.running.saturating_sub(1);
        }
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
