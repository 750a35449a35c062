//! The status of an enrollment: active, then completed or cancelled, for good.

/// Where an enrollment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The student attends.
    Active,
    /// Passed; counts for prerequisites, and still holds its seat.
    Completed,
    /// Over; the seat is free and the payment refunded.
    Cancelled,
}

/// All of them, for whoever lists choices.
pub const ALL: [Status; 3] = [Status::Active, Status::Completed, Status::Cancelled];

impl Status {
    /// The text that stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the text of a status.
    pub fn parse(text: &str) -> Option<Self> {
        ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether it holds a seat and a payment.
    pub fn is_live(self) -> bool {
        self != Self::Cancelled
    }

    /// Goes on to `next`. The error is the status that forbids it.
    pub fn go_to(self, next: Self) -> Result<Self, Self> {
        if self == Self::Active && next != Self::Active { Ok(next) } else { Err(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Status};

    #[test]
    fn only_active_goes_anywhere_and_never_back() {
        for from in ALL {
            for to in ALL {
                let allowed = from == Status::Active && to != Status::Active;
                assert_eq!(from.go_to(to).is_ok(), allowed, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        assert!(ALL.into_iter().all(|status| Status::parse(status.as_str()) == Some(status)));
        assert_eq!(Status::parse("Active"), None);
    }

    #[test]
    fn a_seat_is_held_until_it_is_cancelled() {
        assert!(Status::Completed.is_live() && Status::Active.is_live() && !Status::Cancelled.is_live());
    }
}
