//! The page that shows the document: one file each of HTML, program and looks, which are part of the binary. It loads
//! nothing from elsewhere, and its policy lets it load nothing else.

/// Its program.
pub(super) const SCRIPT: &str = include_str!("page/docs.js");
/// Its looks.
pub(super) const STYLE: &str = include_str!("page/docs.css");
const HTML: &str = include_str!("page/docs.html");

/// What the page may do: nothing but run its own program, look its own way and talk to its own origin.
pub(super) const HEADERS: [(&str, &str); 1] = [(
    "content-security-policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
)];

/// The page for the document at `document`, itself at `docs`; both are paths.
pub(super) fn html(title: &str, docs: &str, document: &str) -> String {
    let docs = docs.strip_suffix('/').unwrap_or(docs);
    let fill = [("{{title}}", title), ("{{docs}}", docs), ("{{document}}", document)];
    fill.iter().fold(HTML.to_owned(), |html, (place, text)| html.replace(place, &escaped(text)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('{', "&#123;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_filled_and_loads_nothing_from_elsewhere() {
        let html = html("<b>\"a\" {{docs}}", "/docs", "/openapi.json?a=1&b=2");
        assert!(html.contains("&lt;b&gt;&quot;a&quot; &#123;&#123;docs"), "{html}");
        assert!(
            html.contains("content=\"/openapi.json?a=1&amp;b=2\"") && html.contains("src=\"/docs/docs.js\""),
            "{html}"
        );
        assert!(!html.contains("{{"), "{html}");
        for text in [HTML, SCRIPT, STYLE] {
            for bad in ["http://", "https://", "//cdn", "@import", "innerHTML", "eval(", " style=", " onclick="] {
                assert!(!text.contains(bad), "{bad}");
            }
        }
    }
}
