//! Whether what was printed is what a page shows.

use serde_json::Value;

const ANYTHING: &str = "...";

/// Whether the text has the parts of the pattern in their order, with anything for each `...`.
pub(super) fn line(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.trim_end(), text.trim_end());
    let Some((first, rest)) = pattern.split_once(ANYTHING) else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// Whether the lines are those of the pattern, with any number of them for a line that is `...`.
pub(super) fn lines(pattern: &[&str], text: &[&str]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((&first, rest)), _) if first.trim() == ANYTHING => {
            (0..=text.len()).any(|skipped| lines(rest, &text[skipped..]))
        }
        (Some((first, pattern)), Some((text, others))) => line(first, text) && lines(pattern, others),
        _ => false,
    }
}

/// Whether the answer has everything that is shown.
pub(super) fn json(shown: &Value, answer: &Value) -> bool {
    match (shown, answer) {
        (Value::String(shown), _) if shown == ANYTHING => true,
        (Value::String(shown), Value::String(answer)) => line(shown, answer),
        (Value::Object(shown), Value::Object(answer)) => shown
            .iter()
            .all(|(key, shown)| answer.get(key).is_some_and(|found| json(shown, found))),
        (Value::Array(shown), Value::Array(answer)) => match shown.split_last() {
            Some((Value::String(last), shown)) if last == ANYTHING => {
                answer.len() >= shown.len() && all(shown, answer)
            }
            _ => answer.len() == shown.len() && all(shown, answer),
        },
        _ => shown == answer,
    }
}

fn all(shown: &[Value], answer: &[Value]) -> bool {
    shown
        .iter()
        .zip(answer)
        .all(|(shown, answer)| json(shown, answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn dots_stand_for_any_text_in_a_line() {
        for (pattern, text) in [
            ("a", "a"),
            ("...", ""),
            ("a...", "abc"),
            ("a...c", "abc"),
            ("a...c...e", "abcde"),
        ] {
            assert!(super::line(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "b"),
            ("a...", "ba"),
            ("a...c", "abcd"),
            ("a...x...e", "abcde"),
        ] {
            assert!(!super::line(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn dots_stand_for_any_number_of_lines() {
        let text = ["a", "b", "c"];
        assert!(super::lines(&["a", "...", "c"], &text));
        assert!(super::lines(&["a", "b", "c", "..."], &text));
        assert!(!super::lines(&["a", "c"], &text));
        assert!(!super::lines(&["...", "b"], &text));
        assert!(!super::lines(&["a", "b", "c", "d"], &text));
    }

    #[test]
    fn an_answer_has_at_least_what_is_shown() {
        let answer = json!({"a": 1, "b": ["x", "y"], "c": {"d": "token-7"}});
        for shown in [
            json!({"a": 1}),
            json!({"a": "..."}),
            json!({"b": ["x", "..."]}),
            json!({"b": ["x", "y", "..."]}),
            json!({"c": {"d": "token-..."}}),
        ] {
            assert!(super::json(&shown, &answer), "{shown}");
        }
        for shown in [
            json!({"a": 2}),
            json!({"e": "..."}),
            json!({"b": ["x"]}),
            json!({"b": ["y", "..."]}),
            json!({"c": {"d": "token"}}),
        ] {
            assert!(!super::json(&shown, &answer), "{shown}");
        }
    }
}
