//! The cover of a course: a picture made of its code and title alone, the same whenever it is drawn.

use std::fmt::Write as _;

const INITIALS_MAX: usize = 3;

/// The media type of [`cover`].
pub const COVER_TYPE: &str = "image/svg+xml";

/// An SVG of 640 by 360 with the initials of the title on a colour of the code's own.
#[must_use]
pub fn cover(code: &str, title: &str) -> String {
    let hue = hash(code) % 360;
    let (initials, label) = (escaped(&initials(title)), escaped(title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 360\" role=\"img\" aria-label=\"{label}\">\
         <rect width=\"640\" height=\"360\" fill=\"hsl({hue} 55% 35%)\"/>\
         <text x=\"320\" y=\"220\" font-family=\"sans-serif\" font-size=\"128\" text-anchor=\"middle\" fill=\"#fff\">\
         {initials}</text></svg>"
    )
}

/// The first letters of the first words, in capitals.
fn initials(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(INITIALS_MAX).filter_map(|word| word.chars().next()).flat_map(char::to_uppercase).collect()
}

/// Text as it may stand in XML, between tags and in a quoted attribute. What XML cannot hold at all is left out.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut result, c| {
        match c {
            '<' | '>' | '&' | '"' | '\'' => {
                let _ = write!(result, "&#{};", u32::from(c));
            }
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => result.push(c),
        }
        result
    })
}

/// FNV-1a: the same on every machine and in every version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cover_shows_initials() {
        assert_eq!(initials("Introduction to the theory"), "ITT");
        assert_eq!(initials("ß-carotene"), "SSC");
        assert!(cover("CS-101", "Compilers & <linkers>").contains("Compilers &#38; &#60;linkers&#62;"));
    }

    proptest! {
        #[test]
        fn no_title_breaks_out_of_its_place(code in "\\PC{0,32}", title in any::<String>()) {
            let cover = cover(&code, &title);
            // The markup is ours alone: as many brackets and quotes as with an empty title.
            let plain = super::cover(&code, "");
            for mark in ['<', '>', '"'] {
                prop_assert_eq!(cover.matches(mark).count(), plain.matches(mark).count());
            }
            prop_assert!(!cover.chars().any(char::is_control));
            prop_assert_eq!(super::cover(&code, &title), cover);
        }
    }
}
