//! The pages of `docs` for those who write functions show nothing that is not built: their code is the marked parts of
//! files that are built and run, and their commands are ones that `weft` takes. `BLESS=1` puts the code into the pages.

use std::fmt::Write as _;

use weft_tests::platform::Platform;
use weft_tests::repository::root;

/// Each page, and how many blocks of Rust and how many commands it has at least.
const PAGES: [(&str, usize, usize); 2] = [("docs/writing-sagas.md", 11, 16), ("docs/projections.md", 2, 4)];
const BEGIN: &str = "docs: ";
const END: &str = "docs: end";

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The marked part of a file, without the indent that all of it has.
fn part(path: &str, name: &str) -> String {
    let text = read(path);
    let marked = |line: &str, mark: &str| line.trim_start_matches(['/', '#', ' ']) == mark && line.contains(mark);
    let mut lines = text.lines().skip_while(|line| !marked(line, &format!("{BEGIN}{name}"))).skip(1).peekable();
    assert!(lines.peek().is_some(), "{path} has no part {name}");
    let lines: Vec<&str> = lines.take_while(|line| !marked(line, END)).collect();
    let indents = lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap_or_default();
    let dedented = lines.iter().map(|line| line.get(indent..).unwrap_or_default());
    dedented.collect::<Vec<_>>().join("\n")
}

/// `<!-- path: part, part -->`: what the block after it shows.
fn shown(comment: &str) -> Option<String> {
    let (path, names) = comment.strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")?;
    Some(names.split(", ").map(|name| part(path, name)).collect::<Vec<_>>().join("\n\n"))
}

/// The page with the code as it is now.
fn filled(page: &str) -> String {
    let (mut text, mut wanted, mut inside) = (String::new(), None, false);
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some("") if inside => inside = false,
            Some(language) if ["rust", "toml", "wit"].contains(&language) => {
                let code = wanted.take().unwrap_or_else(|| panic!("a block of {language} without the file it is of"));
                let _ = writeln!(text, "{line}\n{code}");
                inside = true;
            }
            _ => wanted = shown(line),
        }
        if !inside {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

#[test]
fn the_code_of_the_pages_is_code_that_is_built() {
    for (path, blocks, _) in PAGES {
        let page = read(path);
        let wanted = filled(&page);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(root().join(path), wanted).expect("the page can be written");
            continue;
        }
        assert!(page.matches("```rust").count() >= blocks, "where is the code of {path}?");
        let other = page.lines().zip(wanted.lines()).find(|(page, wanted)| page != wanted);
        assert!(page == wanted, "{path} shows something else than the files it names (BLESS=1 mends it): {other:?}");
    }
}

/// The words of a line of a shell: quotes and comments, nothing else.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        let plain = part.split_whitespace().take_while(|word| *word != "#");
        words.extend(plain.map(str::to_owned));
        if part.split_whitespace().any(|word| word == "#") {
            break;
        }
    }
    words
}

#[test]
fn the_commands_of_the_pages_are_taken() {
    let platform = Platform::stopped();
    for (path, _, least) in PAGES {
        let page = read(path);
        let commands: Vec<&str> = page.lines().filter(|line| line.starts_with("weft ")).collect();
        assert!(commands.len() >= least, "{path}: {commands:?}");
        for command in commands {
            let words = words(command);
            let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let (_, _, stderr) = platform.weft(&arguments);
            // No host runs, which is found out after the words are understood.
            assert!(!stderr.contains("Usage:"), "{command}: {stderr}");
            assert!(!stderr.is_empty(), "{command} does something without a host");
        }
    }
}
