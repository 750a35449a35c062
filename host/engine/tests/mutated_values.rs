//! Values of calls between functions, of random types: each comes back as it went, whatever its type, and in both
//! notations of text; bytes that are no value are refused, and text that is damaged as well. Nothing takes the host down.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use wasmtime::component::{Val, wasm_wave};

use weft_core::{Failure, Reason};
use weft_engine::{InvokeAnswer, InvokeError};
use weft_tests::mutation::mutated;
use weft_tests::{repository, skip};

use crate::harness::Bench;
use crate::values::component::{BEFORE, ECHO, ENTRY, FUNCTION, Garbage, Pair};
use crate::values::{value, wit};

/// Types of a short run, beside those of the corpus; a long one has 50 times as many.
const TYPES: u64 = 25;
const LONG: u64 = 50;
/// Values of each type.
const VALUES: usize = 4;

/// Puts the pair in place of what was there before.
fn deploy(bench: &Bench, pair: &Pair) {
    let mut caller = bench.spec("caller", &pair.caller);
    caller.calls.insert(ECHO.to_owned(), "callee".into());
    bench.engine.deploy(vec![caller, bench.spec("callee", &pair.callee)]).unwrap();
}

/// Calls the callee through the caller.
fn call(bench: &Bench, value: &Val) -> Result<Vec<Val>, Failure> {
    let arguments = (0..BEFORE).map(|_| Val::U64(7)).chain([value.clone()]).collect();
    bench.call("caller", ENTRY, FUNCTION, arguments)
}

/// Calls the callee by text.
fn invoke(bench: &Bench, arguments: &str) -> Result<InvokeAnswer, InvokeError> {
    bench.invoke("callee", &format!("{ECHO}#{FUNCTION}"), arguments)
}

/// Hands the definitions of the corpus to `check`, and as many random ones as the run is long, each with its seed.
fn for_each_type(mut check: impl FnMut(&str, &mut StdRng)) {
    let mut corpus = repository::files("host/engine/tests/corpus/values");
    corpus.sort();
    assert!(corpus.len() >= 4, "{corpus:?}");
    let corpus = corpus.iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()));
    let seeds = 0..if skip::long_wanted() { TYPES * LONG } else { TYPES };
    let random = seeds.map(|seed| (format!("seed {seed}"), wit::definitions(&mut StdRng::seed_from_u64(seed))));
    for (number, (name, definitions)) in corpus.chain(random).enumerate() {
        println!("{name}:\n{definitions}");
        check(&definitions, &mut StdRng::seed_from_u64(number as u64));
    }
}

fn before(of_text: &str) -> String {
    vec!["7"; BEFORE].join(", ") + ", " + of_text
}

#[test]
fn whatever_its_type_a_value_comes_back_as_it_went() {
    let bench = Bench::new();
    for_each_type(|definitions, random| {
        let pair = Pair::new(definitions, &Garbage::default());
        deploy(&bench, &pair);
        for _ in 0..VALUES {
            let value = value::value(&pair.resolve, &pair.value, random);
            let wave = wasm_wave::to_string(&value).unwrap();
            let answer = call(&bench, &value).unwrap();
            assert_eq!(answer, [Val::Result(Ok(Some(Box::new(value))))], "{wave}");

            let from_wave = invoke(&bench, &format!("({})", before(&wave))).unwrap();
            assert_eq!(from_wave.wave, format!("ok({wave})"));
            // JSON has one null for all options that are none, so what is compared is what it says.
            let json = &from_wave.json["ok"];
            let from_json = invoke(&bench, &format!("[{}]", before(&json.to_string()))).unwrap();
            assert_eq!(&from_json.json["ok"], json, "{wave}");
        }
    });
}

#[test]
fn bytes_that_are_no_value_are_refused_or_are_one() {
    let bench = Bench::new();
    let (mut taken, mut refused) = (0, 0);
    for_each_type(|definitions, random| {
        let garbage = Some(garbage(random));
        let of_caller: bool = random.random();
        let garbage = if of_caller {
            Garbage { of_caller: garbage, of_callee: None }
        } else {
            Garbage { of_caller: None, of_callee: garbage }
        };
        let pair = Pair::new(definitions, &garbage);
        deploy(&bench, &pair);
        let value = value::value(&pair.resolve, &pair.value, random);
        match call(&bench, &value) {
            Ok(answer) => match answer.as_slice() {
                [Val::Result(Ok(Some(_)))] => taken += 1,
                // The callee's fault is data for its caller.
                [Val::Result(Err(Some(_)))] if !of_caller => refused += 1,
                other => panic!("{other:?}"),
            },
            Err(failure) => {
                refused += 1;
                assert!(of_caller, "{failure}");
                assert_ne!(failure.reason, Reason::Internal, "{failure}");
            }
        }
    });
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

/// Bytes in which there are many small numbers, as in memory: some of them are cases, lengths and addresses.
fn garbage(random: &mut StdRng) -> Vec<u8> {
    let byte = |random: &mut StdRng| match random.random_range(0..4) {
        0 => random.random(),
        1 => random.random_range(0..4),
        _ => 0,
    };
    (0..512).map(|_| byte(random)).collect()
}

#[test]
fn text_that_is_nearly_a_value_is_read_or_refused() {
    let bench = Bench::new();
    let definitions = std::fs::read_to_string(repository::root().join("host/engine/tests/corpus/values/mixed.wit"));
    let pair = Pair::new(&definitions.unwrap(), &Garbage::default());
    deploy(&bench, &pair);
    let mut random = StdRng::seed_from_u64(1);
    let mut seeds = Vec::new();
    for _ in 0..VALUES {
        let wave = wasm_wave::to_string(&value::value(&pair.resolve, &pair.value, &mut random)).unwrap();
        let answer = invoke(&bench, &format!("({})", before(&wave))).unwrap();
        seeds.push(format!("({})", before(&wave)).into_bytes());
        seeds.push(format!("[{}]", before(&answer.json["ok"].to_string())).into_bytes());
    }
    let (mut answered, mut refused) = (0, 0);
    mutated(&seeds, 400, |bytes| match invoke(&bench, &String::from_utf8_lossy(bytes)) {
        Ok(_) => answered += 1,
        Err(InvokeError::Arguments { message, .. }) => {
            refused += 1;
            assert!(!message.is_empty());
        }
        Err(other) => panic!("{other}"),
    });
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
}
