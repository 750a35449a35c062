//! The rules of payments. Pure: what may be charged, and what the sandbox provider says to a token. Charging itself,
//! and counting attempts, is the work of the functions around it.

/// The most that one charge may take, in minor units: no course costs more.
pub const MAX_AMOUNT: u64 = 1_000_000_000;
/// The longest that `tok_slow_<ms>` takes.
pub const MAX_SLOW_MS: u64 = 60_000;
/// The provider of a payment that takes no money and needs no token.
pub const NO_PROVIDER: &str = "none";

/// How the sandbox provider behaves, by its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Charges at once.
    Charge,
    /// Declines, for good.
    Decline,
    /// Does not answer twice, then charges.
    Flaky,
    /// Charges, and hangs the first time instead of answering.
    Hang,
    /// Charges after this many milliseconds.
    Slow(u64),
}

/// What to do with one attempt of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Charge after a wait.
    ChargeAfter {
        /// Milliseconds; 0 charges at once.
        wait_ms: u64,
        /// Charge, then do not answer.
        then_hang: bool,
    },
    /// The provider refuses for good.
    Decline,
    /// The provider does not answer this time; nothing was charged.
    TryAgain,
}

/// Reads provider and token. The error names what is wrong.
pub fn behaviour(provider: &str, token: &str, amount: u64) -> Result<Behaviour, String> {
    match (provider, token) {
        (NO_PROVIDER, _) if amount == 0 => Ok(Behaviour::Charge),
        (NO_PROVIDER, _) => Err("an amount needs a payment provider".to_string()),
        ("sandbox", "tok_ok") => Ok(Behaviour::Charge),
        ("sandbox", "tok_declined") => Ok(Behaviour::Decline),
        ("sandbox", "tok_flaky") => Ok(Behaviour::Flaky),
        ("sandbox", "tok_timeout") => Ok(Behaviour::Hang),
        ("sandbox", other) => match other.strip_prefix("tok_slow_").map(str::parse) {
            Some(Ok(wait_ms)) if wait_ms <= MAX_SLOW_MS => Ok(Behaviour::Slow(wait_ms)),
            Some(_) => Err(format!("tok_slow_<ms> takes 0 to {MAX_SLOW_MS} milliseconds")),
            None => Err("the sandbox does not know this token".to_string()),
        },
        (other, _) => Err(format!("there is no payment provider {other:?}")),
    }
}

/// What happens to an attempt, with `refused` attempts of the same charge before it that were not answered.
pub fn decide(behaviour: Behaviour, refused: u64) -> Decision {
    match behaviour {
        Behaviour::Charge => Decision::ChargeAfter { wait_ms: 0, then_hang: false },
        Behaviour::Hang => Decision::ChargeAfter { wait_ms: 0, then_hang: true },
        Behaviour::Slow(wait_ms) => Decision::ChargeAfter { wait_ms, then_hang: false },
        Behaviour::Decline => Decision::Decline,
        Behaviour::Flaky if refused < 2 => Decision::TryAgain,
        Behaviour::Flaky => Decision::ChargeAfter { wait_ms: 0, then_hang: false },
    }
}

/// Checks an amount and its currency.
pub fn check_amount(amount: u64, currency: &str) -> Result<(), String> {
    if amount > MAX_AMOUNT {
        return Err(format!("at most {MAX_AMOUNT} minor units can be charged at once"));
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("{currency:?} is not an ISO 4217 currency"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, Decision, NO_PROVIDER, behaviour, check_amount, decide};
    use proptest::prelude::*;

    #[test]
    fn the_documented_tokens_behave_as_documented() {
        let of = |token| behaviour("sandbox", token, 100);
        assert_eq!(of("tok_ok"), Ok(Behaviour::Charge));
        assert_eq!(of("tok_declined"), Ok(Behaviour::Decline));
        assert_eq!(of("tok_timeout"), Ok(Behaviour::Hang));
        assert_eq!(of("tok_slow_250"), Ok(Behaviour::Slow(250)));
        for wrong in ["", "tok", "tok_slow_", "tok_slow_-1", "tok_slow_60001", "tok_ok "] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_nothing_is_paid_without_a_provider() {
        assert_eq!(behaviour(NO_PROVIDER, "", 0), Ok(Behaviour::Charge));
        assert!(behaviour(NO_PROVIDER, "", 1).is_err());
        assert!(behaviour("paypal", "tok_ok", 0).is_err());
    }

    #[test]
    fn flaky_refuses_twice_and_then_charges() {
        let decisions: Vec<_> = (0..3).map(|refused| decide(Behaviour::Flaky, refused)).collect();
        let charge = Decision::ChargeAfter { wait_ms: 0, then_hang: false };
        assert_eq!(decisions, [Decision::TryAgain, Decision::TryAgain, charge]);
    }

    proptest! {
        #[test]
        fn whatever_is_not_declined_is_charged_in_the_end(token in "tok_(ok|flaky|timeout|slow_[0-9]{1,4})") {
            let behaviour = behaviour("sandbox", &token, 1).unwrap();
            let charged = matches!(decide(behaviour, 2), Decision::ChargeAfter { .. });
            prop_assert!(charged);
        }

        #[test]
        fn no_input_panics(provider in ".*", token in ".*", amount: u64, currency in ".*") {
            let _ = behaviour(&provider, &token, amount);
            let checked = check_amount(amount, &currency);
            prop_assert!(checked.is_err() || currency.len() == 3);
        }
    }
}
