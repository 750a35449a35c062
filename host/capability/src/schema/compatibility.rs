//! Whether all data that are valid for one schema are valid for another: the question behind every mode of
//! compatibility. It is answered on the safe side: what cannot be shown is not compatible. A field that a version does
//! not name, where it lets others through, is taken as never written; that is what makes adding a field possible.
//! What else the rules of change ask for (deprecation, defaults) is in [`super::evolution`].

use serde_json::{Map, Number, Value};

use super::document::{bare, escaped};

/// Something that is valid for the one schema and may not be for the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gap {
    /// JSON pointer into the normal form.
    pub pointer: String,
    pub kind: GapKind,
}

/// What differs. `from` belongs to the schema whose data are looked at, `to` to the one that has to take them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum GapKind {
    /// Types.
    Type { from: String, to: String },
    /// Values of an enumeration that the other does not have; none are known if there was no enumeration.
    Values(Vec<Value>),
    /// A bound or another keyword with a value.
    Bound { keyword: &'static str, from: Option<Value>, to: Option<Value> },
    /// The other needs this field.
    Required(String),
    /// The other does not let this field through.
    Field,
    /// The other does not let every field through that it does not name.
    Unnamed,
    /// A keyword that differs and cannot be compared.
    Incomparable(&'static str),
}

/// Everything that keeps data of `from` from being valid for `to`; both are normal forms.
pub(super) fn gaps(from: &Value, to: &Value) -> Vec<Gap> {
    let mut comparison = Comparison { gaps: Vec::new() };
    comparison.schema(from, to, "");
    comparison.gaps
}

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
const FRACTION: u8 = 8;
const STRING: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;
const ALL: u8 = 127;
/// Keywords that apply schemas to the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

type Keywords = Map<String, Value>;

struct Comparison {
    gaps: Vec<Gap>,
}

impl Comparison {
    fn gap(&mut self, at: &str, kind: GapKind) {
        self.gaps.push(Gap { pointer: at.to_owned(), kind });
    }

    fn schema(&mut self, from: &Value, to: &Value, at: &str) {
        let any = Keywords::new();
        let (from, to) = match (from, to) {
            (Value::Bool(false), _) | (_, Value::Bool(true)) => return,
            (_, Value::Bool(false)) => return self.gap(at, GapKind::Field),
            (from, to) => (from.as_object().unwrap_or(&any), to.as_object().unwrap_or(&any)),
        };
        if to.is_empty() || bare(&Value::Object(from.clone())) == bare(&Value::Object(to.clone())) {
            return;
        }
        let types = types(from);
        if let Some(wanted) = to.get("type")
            && types & !mask(wanted) != 0
        {
            // What else differs follows from that.
            return self.gap(at, GapKind::Type { from: type_words(types), to: type_words(mask(wanted)) });
        }
        self.values(from, to, at);
        if types & (INTEGER | FRACTION) != 0 {
            self.numbers(from, to, at);
        }
        if types & STRING != 0 {
            self.sizes(["minLength", "maxLength"], from, to, at);
            self.equal(&["pattern", "format"], from, to, at);
        }
        if types & ARRAY != 0 {
            self.arrays(from, to, at);
        }
        if types & OBJECT != 0 {
            self.objects(from, to, at);
        }
        self.combined(from, to, at);
    }

    fn values(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        if let Some(wanted) = enumerated(to) {
            let missing = match enumerated(from) {
                Some(values) => values.into_iter().filter(|value| !wanted.contains(value)).cloned().collect(),
                None => return self.gap(at, GapKind::Values(Vec::new())),
            };
            if !Vec::is_empty(&missing) {
                self.gap(at, GapKind::Values(missing));
            }
        }
    }

    fn numbers(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        for (plain, exclusive, sign) in [
            ("minimum", "exclusiveMinimum", std::cmp::Ordering::Less),
            ("maximum", "exclusiveMaximum", std::cmp::Ordering::Greater),
        ] {
            for (keyword, is_exclusive) in [(plain, false), (exclusive, true)] {
                let Some(Value::Number(bound)) = to.get(keyword) else { continue };
                let held = |keyword: &str, needs_more: bool| {
                    let Some(Value::Number(own)) = from.get(keyword) else { return false };
                    match compare(own, bound) {
                        Some(std::cmp::Ordering::Equal) => !needs_more,
                        Some(order) => order != sign,
                        None => false,
                    }
                };
                if !held(plain, is_exclusive) && !held(exclusive, false) {
                    self.bound(keyword, from, to, at);
                }
            }
        }
        let divides = |to: &Value, from: &Value| match (to.as_u64(), from.as_u64()) {
            (Some(to), Some(from)) if to > 0 => from % to == 0,
            _ => to == from,
        };
        if let Some(wanted) = to.get("multipleOf")
            && !from.get("multipleOf").is_some_and(|own| divides(wanted, own))
        {
            self.bound("multipleOf", from, to, at);
        }
    }

    /// A lower and an upper bound in whole numbers.
    fn sizes(&mut self, [lower, upper]: [&'static str; 2], from: &Keywords, to: &Keywords, at: &str) {
        let size = |keywords: &Keywords, keyword: &str| keywords.get(keyword).and_then(Value::as_f64);
        let least = size(to, lower).unwrap_or(0.0);
        if least > size(from, lower).unwrap_or(0.0) {
            self.bound(lower, from, to, at);
        }
        if size(to, upper).is_some_and(|most| size(from, upper).is_none_or(|own| own > most)) {
            self.bound(upper, from, to, at);
        }
    }

    /// Keywords that the one has to share with the other, if the other has them.
    fn equal(&mut self, keywords: &[&'static str], from: &Keywords, to: &Keywords, at: &str) {
        for keyword in keywords {
            if to.get(*keyword).is_some_and(|wanted| from.get(*keyword) != Some(wanted)) {
                self.bound(keyword, from, to, at);
            }
        }
    }

    fn bound(&mut self, keyword: &'static str, from: &Keywords, to: &Keywords, at: &str) {
        let value = |keywords: &Keywords| keywords.get(keyword).cloned();
        self.gap(at, GapKind::Bound { keyword, from: value(from), to: value(to) });
    }

    /// Keywords with schemas in them that have to be the same, if the other has them.
    fn same(&mut self, keywords: &[&'static str], from: &Keywords, to: &Keywords, at: &str) {
        for keyword in keywords {
            if to.contains_key(*keyword) && !is_same(keyword, from, to) {
                self.gap(at, GapKind::Incomparable(keyword));
            }
        }
    }

    fn arrays(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        self.sizes(["minItems", "maxItems"], from, to, at);
        if to.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.equal(&["uniqueItems"], from, to, at);
        }
        self.same(&["contains", "minContains", "maxContains", "unevaluatedItems"], from, to, at);
        // Without a number, at least one has to be there.
        let numbers = ["minContains", "maxContains"];
        if to.contains_key("contains") && !numbers.iter().all(|number| is_same(number, from, to)) {
            self.gap(at, GapKind::Incomparable("contains"));
        }
        // What comes after the first ones depends on how many these are.
        if (from.contains_key("prefixItems") || to.contains_key("prefixItems")) && !is_same("prefixItems", from, to) {
            return self.gap(at, GapKind::Incomparable("prefixItems"));
        }
        if let Some(wanted) = to.get("items") {
            let own = from.get("items").unwrap_or(&Value::Bool(true));
            self.schema(own, wanted, &format!("{at}/items"));
        }
    }

    fn objects(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        self.sizes(["minProperties", "maxProperties"], from, to, at);
        let required = |keywords: &Keywords| -> Vec<String> {
            let names = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect()
        };
        let own = required(from);
        for name in required(to).into_iter().filter(|name| !own.contains(name)) {
            self.gap(&format!("{at}/properties/{}", escaped(&name)), GapKind::Required(name));
        }
        self.same(
            &["patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedProperties"],
            from,
            to,
            at,
        );
        self.fields(from, to, at);
    }

    fn fields(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        let none = Keywords::new();
        let (own, wanted) = (fields(from).unwrap_or(&none), fields(to).unwrap_or(&none));
        let (own_rest, wanted_rest) = (rest(from), rest(to));
        let field = |name: &str| format!("{at}/properties/{}", escaped(name));
        // Fields that a pattern let through are those that are not named now.
        let has_patterns = from.contains_key("patternProperties") && !is_same("patternProperties", from, to);
        if has_patterns && *wanted_rest != Value::Bool(true) {
            self.gap(at, GapKind::Incomparable("patternProperties"));
        }
        for (name, schema) in own {
            self.schema(schema, wanted.get(name).unwrap_or(wanted_rest), &field(name));
        }
        for (name, schema) in wanted.iter().filter(|(name, _)| !own.contains_key(*name)) {
            if from.contains_key("patternProperties") || is_named_elsewhere(from, name) {
                self.gap(&field(name), GapKind::Incomparable("properties"));
            } else if own_rest.is_object() {
                self.schema(own_rest, schema, &field(name));
            }
        }
        match (own_rest, wanted_rest) {
            (_, Value::Bool(true)) | (Value::Bool(false), _) => {}
            (own @ Value::Object(_), wanted @ Value::Object(_)) => {
                self.schema(own, wanted, &format!("{at}/additionalProperties"));
            }
            _ => self.gap(at, GapKind::Unnamed),
        }
    }

    /// Schemas about the same value.
    fn combined(&mut self, from: &Keywords, to: &Keywords, at: &str) {
        let branches = |keywords: &Keywords, keyword: &str| keywords.get(keyword).and_then(Value::as_array).cloned();
        let whole = Value::Object(from.clone());
        let own: Vec<Value> = branches(from, "allOf").unwrap_or_default().iter().map(bare).collect();
        for (index, branch) in branches(to, "allOf").unwrap_or_default().iter().enumerate() {
            if !own.contains(&bare(branch)) {
                self.schema(&whole, branch, &format!("{at}/allOf/{index}"));
            }
        }
        if let Some(wanted) = branches(to, "anyOf")
            && !is_same("anyOf", from, to)
        {
            let is_taken = |from: &Value| wanted.iter().any(|branch| gaps(from, branch).is_empty());
            let each_is = branches(from, "anyOf").is_some_and(|own| own.iter().all(is_taken));
            if !each_is && !is_taken(&whole) {
                self.gap(at, GapKind::Incomparable("anyOf"));
            }
        }
        self.same(&["oneOf", "not"], from, to, at);
        let conditions = ["if", "then", "else"];
        if conditions.iter().any(|keyword| to.contains_key(*keyword))
            && !conditions.iter().all(|keyword| is_same(keyword, from, to))
        {
            self.gap(at, GapKind::Incomparable("if"));
        }
        if to.contains_key("$ref") && (from.get("$ref"), from.get("$in")) != (to.get("$ref"), to.get("$in")) {
            self.gap(at, GapKind::Incomparable("$ref"));
        }
    }
}

fn is_same(keyword: &str, from: &Keywords, to: &Keywords) -> bool {
    // Wrapped again, so that the schemas below the keyword are compared without what does not matter.
    let only = |keywords: &Keywords| {
        let value = keywords.get(keyword).cloned();
        bare(&Value::Object(value.map(|value| (keyword.to_owned(), value)).into_iter().collect()))
    };
    // What is not evaluated elsewhere depends on everything beside it, and that is not the same.
    !keyword.starts_with("unevaluated") && only(from) == only(to)
}

fn fields(keywords: &Keywords) -> Option<&Keywords> {
    keywords.get("properties").and_then(Value::as_object)
}

fn rest(keywords: &Keywords) -> &Value {
    match keywords.get("additionalProperties") {
        Some(Value::Object(empty)) if empty.is_empty() => &Value::Bool(true),
        Some(rest) => rest,
        None => &Value::Bool(true),
    }
}

/// Whether a schema about the same value knows the field.
fn is_named_elsewhere(keywords: &Keywords, name: &str) -> bool {
    let within = |schema: &Value| {
        let keywords = schema.as_object();
        keywords.is_some_and(|keywords| {
            fields(keywords).is_some_and(|fields| fields.contains_key(name))
                || keywords.contains_key("$ref")
                || keywords.contains_key("patternProperties")
                || keywords.get("additionalProperties").is_some_and(Value::is_object)
                || is_named_elsewhere(keywords, name)
        })
    };
    let in_place = IN_PLACE.iter().filter_map(|keyword| keywords.get(*keyword));
    let dependent = keywords.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::values);
    in_place.chain(dependent).any(|value| match value {
        Value::Array(branches) => branches.iter().any(within),
        one => within(one),
    }) || keywords.contains_key("$ref")
        || keywords.get("unevaluatedProperties").is_some_and(Value::is_object)
}

fn enumerated(keywords: &Keywords) -> Option<Vec<&Value>> {
    match (keywords.get("const"), keywords.get("enum")) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// The types that a value may have.
fn types(keywords: &Keywords) -> u8 {
    let mut types = keywords.get("type").map_or(ALL, mask);
    if let Some(values) = enumerated(keywords) {
        types &= values.into_iter().fold(0, |types, value| types | type_of(value));
    }
    let of = |schema: &Value| match schema {
        Value::Bool(false) => 0,
        Value::Object(keywords) => self::types(keywords),
        _ => ALL,
    };
    for keyword in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = keywords.get(keyword) {
            types &= branches.iter().fold(0, |types, branch| types | of(branch));
        }
    }
    if let Some(Value::Array(branches)) = keywords.get("allOf") {
        types &= branches.iter().fold(ALL, |types, branch| types & of(branch));
    }
    types
}

fn mask(written: &Value) -> u8 {
    let one = |name: &Value| match name.as_str() {
        Some("null") => NULL,
        Some("boolean") => BOOLEAN,
        Some("integer") => INTEGER,
        Some("number") => INTEGER | FRACTION,
        Some("string") => STRING,
        Some("array") => ARRAY,
        Some("object") => OBJECT,
        _ => 0,
    };
    match written {
        Value::Array(names) => names.iter().fold(0, |types, name| types | one(name)),
        name => one(name),
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => INTEGER,
        Value::Number(_) => FRACTION,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

fn type_words(types: u8) -> String {
    if types == ALL {
        return "anything".to_owned();
    }
    let number = if types & FRACTION != 0 { "number" } else { "integer" };
    let all = [
        (NULL, "null"),
        (BOOLEAN, "boolean"),
        (INTEGER | FRACTION, number),
        (STRING, "string"),
        (ARRAY, "array"),
        (OBJECT, "object"),
    ];
    let words: Vec<_> = all.iter().filter(|(mask, _)| types & mask != 0).map(|(_, word)| *word).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" or ") }
}

fn compare(one: &Number, other: &Number) -> Option<std::cmp::Ordering> {
    let whole = |number: &Number| number.as_i128();
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}
