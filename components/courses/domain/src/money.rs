//! Prices: integer minor units (cents) of a currency of ISO 4217.

use crate::Invalid;

/// The highest price, in minor units.
pub const PRICE_MAX: u64 = 100_000_000;
/// What ISO 4217 writes where no currency is involved: the currency of a free course.
pub const NO_CURRENCY: &str = "XXX";

/// The active codes of ISO 4217 for money that one can pay with (no funds, metals or testing codes), sorted.
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD \
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG \
    QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD \
    TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// A price and its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Minor units.
    pub amount: u64,
    /// ISO 4217; [`NO_CURRENCY`] where a free course names none.
    pub currency: String,
}

impl Price {
    /// The price of a course; the currency may be left out where there is nothing to pay.
    ///
    /// # Errors
    /// If the amount is too high, or the currency is missing or unknown.
    pub fn new(amount: u64, currency: Option<&str>) -> Result<Self, Invalid> {
        if amount > PRICE_MAX {
            return Err(Invalid::new("price", format!("is over {PRICE_MAX} minor units")));
        }
        let currency = match currency {
            Some(code) if is_currency(code) => code,
            Some(_) => return Err(Invalid::new("currency", "is not a currency code of ISO 4217, such as EUR")),
            None if amount == 0 => NO_CURRENCY,
            None => return Err(Invalid::new("currency", "is missing: a course with a price needs one")),
        };
        Ok(Self { amount, currency: currency.to_owned() })
    }
}

fn is_currency(code: &str) -> bool {
    code.len() == 3 && CURRENCIES.split_ascii_whitespace().any(|known| known == code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_list_is_sorted_without_doubles() {
        let codes: Vec<&str> = CURRENCIES.split_ascii_whitespace().collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]) && codes.iter().all(|code| code.len() == 3));
        assert_eq!(codes.len(), 155);
    }

    #[test]
    fn a_free_course_needs_no_currency_and_another_does() {
        assert_eq!(Price::new(0, None).map(|price| price.currency), Ok("XXX".to_owned()));
        assert_eq!(Price::new(1, None).map_err(|e| e.field), Err("currency".to_owned()));
        assert_eq!(Price::new(1, Some("XXX")).map_err(|e| e.field), Err("currency".to_owned()));
        assert_eq!(Price::new(PRICE_MAX + 1, Some("EUR")).map_err(|e| e.field), Err("price".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_within_bounds(amount: u64, code in "[A-Za-z ]{0,4}") {
            if let Ok(price) = Price::new(amount, Some(&code)) {
                prop_assert!(price.amount <= PRICE_MAX && price.currency == code);
                prop_assert!(code.len() == 3 && code.chars().all(|c| c.is_ascii_uppercase()));
            }
        }
    }
}
