//! Random values of a type of WIT.

use rand::rngs::StdRng;
use rand::{RngExt as _, seq::IndexedRandom as _};
use wasmtime::component::Val;
use wit_parser::{Resolve, Type, TypeDefKind};

/// Longest lists of anything but bytes.
const MAX_ITEMS: usize = 4;
const MAX_BYTES: usize = 3_000;

/// A value of type `ty`.
pub fn value(resolve: &Resolve, ty: &Type, random: &mut StdRng) -> Val {
    match ty {
        Type::Bool => Val::Bool(random.random()),
        Type::U8 => Val::U8(random.random()),
        Type::U16 => Val::U16(random.random()),
        Type::U32 => Val::U32(random.random()),
        Type::U64 => Val::U64(random.random()),
        Type::S8 => Val::S8(random.random()),
        Type::S16 => Val::S16(random.random()),
        Type::S32 => Val::S32(random.random()),
        Type::S64 => Val::S64(random.random()),
        // All bit patterns, so infinities and what is no number as well.
        Type::F32 => Val::Float32(f32::from_bits(random.random())),
        Type::F64 => Val::Float64(f64::from_bits(random.random())),
        Type::Char => Val::Char(random.random()),
        Type::String => Val::String(text(random)),
        Type::ErrorContext => panic!("no type of these is an error context"),
        Type::Id(id) => defined(resolve, &resolve.types[*id].kind, random),
    }
}

fn text(random: &mut StdRng) -> String {
    let length = random.random_range(0..12);
    (0..length)
        .map(|_| if random.random() { random.random_range(' '..='~') } else { random.random::<char>() })
        .collect()
}

fn defined(resolve: &Resolve, kind: &TypeDefKind, random: &mut StdRng) -> Val {
    match kind {
        TypeDefKind::Type(ty) => value(resolve, ty, random),
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| (field.name.clone(), value(resolve, &field.ty, random)));
            Val::Record(fields.collect())
        }
        TypeDefKind::Tuple(tuple) => Val::Tuple(tuple.types.iter().map(|ty| value(resolve, ty, random)).collect()),
        TypeDefKind::List(ty) => {
            let most = if matches!(ty, Type::U8) { MAX_BYTES } else { MAX_ITEMS };
            let length = random.random_range(0..=most);
            Val::List((0..length).map(|_| value(resolve, ty, random)).collect())
        }
        TypeDefKind::Option(ty) => Val::Option(random.random::<bool>().then(|| Box::new(value(resolve, ty, random)))),
        TypeDefKind::Result(result) => {
            let is_ok: bool = random.random();
            let payload = if is_ok { result.ok } else { result.err };
            let payload = payload.map(|ty| Box::new(value(resolve, &ty, random)));
            Val::Result(if is_ok { Ok(payload) } else { Err(payload) })
        }
        TypeDefKind::Variant(variant) => {
            let case = variant.cases.choose(random).unwrap();
            Val::Variant(case.name.clone(), case.ty.map(|ty| Box::new(value(resolve, &ty, random))))
        }
        TypeDefKind::Enum(cases) => Val::Enum(cases.cases.choose(random).unwrap().name.clone()),
        TypeDefKind::Flags(flags) => {
            let set = flags.flags.iter().filter(|_| random.random()).map(|flag| flag.name.clone());
            Val::Flags(set.collect())
        }
        other => panic!("no type of these is a {}", other.as_str()),
    }
}
