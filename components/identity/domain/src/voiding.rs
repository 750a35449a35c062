//! From which second on the access tokens of an account are valid. Every token that is issued is noted, and voiding
//! moves past all that were noted: tokens from before and from after are told apart without trusting that clocks or
//! commits keep an order. The database does the same in one row; this is its model.

/// What the account's row holds, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Tokens issued in an earlier second are void.
    pub valid_from_s: i64,
    /// The latest second that any token was issued in.
    pub last_issued_at_s: i64,
}

/// The second that a token says it was issued in: now, but never before tokens are valid, even in the very second in
/// which others were voided.
#[must_use]
pub fn issued_at_s(now_s: i64, valid_from_s: i64) -> i64 {
    now_s.max(valid_from_s)
}

impl Validity {
    /// The row after a token was issued, and the second it says.
    #[must_use]
    pub fn issue(self, now_s: i64) -> (Self, i64) {
        let issued_at_s = issued_at_s(now_s, self.valid_from_s);
        (Self { last_issued_at_s: self.last_issued_at_s.max(issued_at_s), ..self }, issued_at_s)
    }

    /// The row after all tokens were voided.
    #[must_use]
    pub fn void(self) -> Self {
        Self { valid_from_s: self.valid_from_s.max(self.last_issued_at_s) + 1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn voiding_ends_every_token_before_it_and_none_after(
            // What happens, and where the clock then stands: it may stand still or go back.
            events in prop::collection::vec((any::<bool>(), 0i64..20), 1..60)
        ) {
            let (mut row, mut before, mut after) = (Validity::default(), Vec::new(), Vec::new());
            for (void, now_s) in events {
                if void {
                    row = row.void();
                    before.append(&mut after);
                } else {
                    let (next, issued_at_s) = row.issue(now_s);
                    row = next;
                    after.push(issued_at_s);
                }
                prop_assert!(before.iter().all(|issued_at_s| *issued_at_s < row.valid_from_s));
                prop_assert!(after.iter().all(|issued_at_s| *issued_at_s >= row.valid_from_s));
            }
        }
    }
}
