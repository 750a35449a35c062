//! Interfaces with random types, as WIT text: all kinds of types that may cross between functions, in each other.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt as _, seq::IndexedRandom as _};

const PRIMITIVES: [&str; 13] =
    ["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string"];
/// How deep anonymous types lie in each other.
const MAX_DEPTH: u32 = 3;
/// Cases of an enum or a variant whose number does not fit into a byte.
const MANY_CASES: usize = 300;

/// Definitions of types, the last of them `value`.
pub fn definitions(random: &mut StdRng) -> String {
    let mut text = String::new();
    let mut named = Vec::new();
    for number in 0..random.random_range(0..6) {
        let name = format!("t{number}");
        define(&mut text, &name, &named, random);
        named.push(name);
    }
    let value = anonymous(&named, MAX_DEPTH, random);
    let _ = writeln!(text, "type value = {value};");
    text
}

fn define(text: &mut String, name: &str, named: &[String], random: &mut StdRng) {
    let kind = random.random_range(0..5);
    let many = random.random_ratio(1, 20);
    let count = if many { MANY_CASES } else { random.random_range(1..=5) };
    let _ = match kind {
        0 => writeln!(text, "record {name} {{"),
        1 => writeln!(text, "variant {name} {{"),
        2 => writeln!(text, "enum {name} {{"),
        3 => writeln!(text, "flags {name} {{"),
        _ => {
            let ty = anonymous(named, MAX_DEPTH, random);
            let _ = writeln!(text, "type {name} = {ty};");
            return;
        }
    };
    // Records of this many fields would only be slow, and flags may be 32.
    let count = match kind {
        0 => count.min(8),
        3 => {
            if many {
                32
            } else {
                count
            }
        }
        _ => count,
    };
    for number in 0..count {
        let _ = match kind {
            0 => writeln!(text, "f{number}: {},", anonymous(named, 1, random)),
            1 if random.random() => writeln!(text, "c{number}({}),", anonymous(named, 1, random)),
            _ => writeln!(text, "c{number},"),
        };
    }
    text.push_str("}\n");
}

fn anonymous(named: &[String], depth: u32, random: &mut StdRng) -> String {
    let primitive = |random: &mut StdRng| (*PRIMITIVES.choose(random).unwrap_or(&"u8")).to_owned();
    if depth == 0 {
        return primitive(random);
    }
    let inner = |random: &mut StdRng| anonymous(named, depth - 1, random);
    match random.random_range(0..9) {
        0 => format!("list<{}>", inner(random)),
        1 => format!("option<{}>", inner(random)),
        2 => format!("tuple<{}, {}>", inner(random), inner(random)),
        3 => format!("result<{}, {}>", inner(random), inner(random)),
        4 => format!("result<_, {}>", inner(random)),
        5 => "list<u8>".to_owned(),
        6 | 7 => named.choose(random).cloned().unwrap_or_else(|| primitive(random)),
        _ => primitive(random),
    }
}
