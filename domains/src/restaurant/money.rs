use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// In minor units of the currency: cents, if it has cents.
    pub amount: i64,
    /// ISO 4217: three capital letters.
    pub currency: String,
}

/// Money that cannot be a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrice {
    /// Nothing is free, and nobody is paid for eating.
    #[error("a price is 1 or more minor units, not {amount}")]
    NotPositive {
        /// What was asked.
        amount: i64,
    },
    /// Not what ISO 4217 looks like.
    #[error("a currency is three capital letters, and {currency:?} is not")]
    Currency {
        /// What was given, cut after 16 characters.
        currency: String,
    },
}

impl Money {
    /// Whether it can be a price.
    pub fn check_price(&self) -> Result<(), InvalidPrice> {
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidPrice::Currency {
                currency: self.currency.chars().take(16).collect(),
            });
        }
        if self.amount <= 0 {
            return Err(InvalidPrice::NotPositive { amount: self.amount });
        }
        Ok(())
    }

    /// So many times as much. What is too much for 64 bits stays at their end: a total never wraps around.
    #[must_use]
    pub fn times(&self, quantity: i32) -> Self {
        Self {
            amount: self.amount.saturating_mul(quantity.into()),
            currency: self.currency.clone(),
        }
    }

    /// The sum of amounts of one currency; `None` if there are none.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().reduce(|sum, next| Self {
            amount: sum.amount.saturating_add(next.amount),
            currency: sum.currency,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPrice, Money};

    fn money(amount: i64, currency: &str) -> Money {
        Money {
            amount,
            currency: currency.to_owned(),
        }
    }

    #[test]
    fn a_price_is_more_than_nothing() {
        assert_eq!(money(1, "USD").check_price(), Ok(()));
        for amount in [0, -1, i64::MIN] {
            assert_eq!(
                money(amount, "USD").check_price(),
                Err(InvalidPrice::NotPositive { amount })
            );
        }
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        for bad in ["", "usd", "US", "USDX", "U1D", "€€€", "ÄÖÜ"] {
            let currency = bad.to_owned();
            assert_eq!(
                money(1, bad).check_price(),
                Err(InvalidPrice::Currency { currency })
            );
        }
    }

    #[test]
    fn sums_do_not_wrap_around() {
        assert_eq!(money(i64::MAX / 2, "USD").times(3), money(i64::MAX, "USD"));
        let sum = Money::sum([money(i64::MAX, "USD"), money(1, "USD")]);
        assert_eq!(sum, Some(money(i64::MAX, "USD")));
        assert_eq!(Money::sum([]), None);
    }
}
