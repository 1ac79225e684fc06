/// How many characters an email has at most: as many as SMTP carries (RFC 5321). It is a part of the customer's snapshot.
pub(super) const EMAIL_MAX: usize = 254;

/// An email for comparison: equal emails are equal text.
///
/// Each letter goes to lower case, to upper case and back, which makes `ς` and `σ` one, and `ẞ`, `ß` and `SS`.
/// A text's own `to_lowercase` looks at a letter's neighbours, and would keep some equal emails apart.
pub fn folded(email: &str) -> String {
    let lower = email.chars().flat_map(char::to_lowercase);
    let upper = lower.flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

/// Whether it can be an email at all. Only a mail that arrives shows more.
pub(super) fn is_email(text: &str) -> bool {
    let sides = text.rsplit_once('@');
    let has_both = sides.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let has_gap = text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    has_both && !has_gap && text.chars().count() <= EMAIL_MAX
}

#[cfg(test)]
mod tests {
    use super::{EMAIL_MAX, folded, is_email};

    #[test]
    fn emails_that_differ_in_case_are_the_same() {
        assert_eq!(folded("Ada@Example.ORG"), folded("ada@example.org"));
        assert_eq!(folded("ΣΊΣΥΦΟΣ@x"), folded("σίσυφος@x"));
        assert_ne!(folded("ada@example.org"), folded("bea@example.org"));
    }

    #[test]
    fn an_email_has_text_on_both_sides_of_an_at() {
        assert!(is_email("ada@example.org"));
        assert!(is_email("\"a@b\"@example.org"));
        for bad in ["", "ada", "@", "ada@", "@example.org", "a da@x", "ada@x\n"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn an_email_is_no_longer_than_mail_can_carry() {
        let of_length = |length: usize| format!("{}@x", "é".repeat(length - 2));
        assert!(is_email(&of_length(EMAIL_MAX)));
        assert!(!is_email(&of_length(EMAIL_MAX + 1)));
    }

    #[test]
    fn every_letter_folds_to_the_same_in_any_case_and_folded_again() {
        for letter in '\0'..=char::MAX {
            let once = folded(&letter.to_string());
            assert_eq!(folded(&once), once, "{letter}");
            assert_eq!(folded(&letter.to_uppercase().to_string()), once, "{letter}");
            assert_eq!(folded(&letter.to_lowercase().to_string()), once, "{letter}");
        }
    }
}
