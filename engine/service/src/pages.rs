//! The pages of problems, `docs/errors/<code>.md`, as part of the program: the type of a problem is a link to its page
//! on the service that answered with it.

use pulldown_cmark::{Options, Parser};
use serde_json::Value;

static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// What there is to say about a type of problem.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The last part of the problem's type.
    pub code: &'static str,
    /// Markdown.
    pub text: &'static str,
}

impl Page {
    /// Every page, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        PAGES.iter().map(|(code, text)| Self { code, text })
    }

    /// The page of this code.
    pub fn of(code: &str) -> Option<Self> {
        Self::all().find(|page| page.code == code)
    }

    /// The status that its problems have: the page's title is `# <code> (<status>)`.
    pub fn status(&self) -> Option<u16> {
        let title = self.text.lines().next()?;
        let (_, status) = title.strip_suffix(')')?.rsplit_once('(')?;
        status.parse().ok()
    }

    /// The problem that it shows.
    pub fn example(&self) -> Option<Value> {
        let (_, rest) = self.text.split_once("```json\n")?;
        let (json, _) = rest.split_once("```")?;
        serde_json::from_str(json).ok()
    }

    /// The first sentences, in one line.
    pub fn summary(&self) -> String {
        let mut paragraphs = self.text.split("\n\n").skip(1);
        paragraphs.next().unwrap_or_default().replace('\n', " ")
    }
}

/// A page as Markdown for a rule of a domain that came without one: its code says what it can.
pub(crate) fn generated(code: &str) -> String {
    format!(
        "# {code}\n\n{}: a rule of a domain that is installed here. The `detail` of the problem says what is wrong.\n",
        title_of(code)
    )
}

/// The list of all codes as Markdown.
pub(crate) fn index(declared: &[String]) -> String {
    let mut text =
        "# Problems\n\nEvery error is `application/problem+json` (RFC 9457); its `type` is one of these. \
                    The whole API: [/docs](/docs).\n\n| type | status | means |\n|---|---|---|\n"
            .to_owned();
    for page in Page::all() {
        let status = page.status().map(|status| status.to_string());
        let summary = page.summary();
        let first = summary.split(". ").next().unwrap_or_default();
        text += &format!(
            "| [{code}](/problems/{code}) | {} | {first} |\n",
            status.unwrap_or_default(),
            code = page.code
        );
    }
    for code in declared.iter().filter(|code| Page::of(code).is_none()) {
        text += &format!("| [{code}](/problems/{code}) | | {} |\n", title_of(code));
    }
    text
}

/// `order-not-open` is titled "Order not open".
pub fn title_of(code: &str) -> String {
    let words = code.replace('-', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

pub(crate) fn to_html(markdown: &str) -> String {
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, Parser::new_ext(markdown, Options::ENABLE_TABLES));
    html
}

/// A whole HTML document around a body of ours; `title` needs no escapes.
pub(crate) fn document(title: &str, body: &str) -> String {
    include_str!("pages.html")
        .replace("{title}", title)
        .replace("{body}", body)
}

#[cfg(test)]
mod tests {
    use super::{Page, title_of};

    #[test]
    fn every_page_says_its_status_and_shows_a_problem() {
        assert!(Page::all().count() > 40);
        for page in Page::all() {
            let status = page.status().unwrap_or_else(|| panic!("{}", page.code));
            assert!((400..600).contains(&status), "{}", page.code);
            assert!(!page.summary().is_empty(), "{}", page.code);
            let example = page.example().unwrap_or_else(|| panic!("{}", page.code));
            assert_eq!(example["type"], format!("/problems/{}", page.code));
            assert_eq!(example["status"], status, "{}", page.code);
        }
    }

    #[test]
    fn a_code_makes_a_title() {
        assert_eq!(title_of("order-not-open"), "Order not open");
        assert_eq!(title_of(""), "");
    }
}
