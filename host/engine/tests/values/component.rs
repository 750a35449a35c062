//! Two components for one type: one that calls and one that answers, written as text. So many parameters stand before
//! the value that all of them come through memory, and moving the value is copying its bytes, whatever its type.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind, WorldItem};

/// The parameters before the value.
pub const BEFORE: usize = 16;
/// The interface that is called.
pub const ECHO: &str = "test:values/echo@1.0.0";
/// The interface of the component that calls it; its function does what that one does.
pub const ENTRY: &str = "test:values/entry@1.0.0";
/// The function of both.
pub const FUNCTION: &str = "echo";

/// Who hands over bytes that have not been looked at, in place of the value.
#[derive(Clone, Debug, Default)]
pub struct Garbage {
    pub of_caller: Option<Vec<u8>>,
    pub of_callee: Option<Vec<u8>>,
}

/// The two components.
pub struct Pair {
    pub resolve: Resolve,
    /// The type of the value.
    pub value: Type,
    pub caller: Vec<u8>,
    pub callee: Vec<u8>,
}

/// Where things lie in memory.
struct Layout {
    value_size: usize,
    value_in_parameters: usize,
    value_in_result: usize,
    result_size: usize,
    result_align: usize,
}

impl Pair {
    /// Makes both for the definitions of types, which define `value`.
    pub fn new(definitions: &str, garbage: &Garbage) -> Self {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("values.wit", &text(definitions)).unwrap();
        let world = |name| resolve.select_world(&[package], Some(name)).unwrap();
        let (caller, callee) = (world("caller"), world("callee"));
        let WorldItem::Interface { id, .. } = resolve.worlds[callee].exports.values().next().unwrap() else {
            panic!("the world exports an interface")
        };
        let value = Type::Id(resolve.interfaces[*id].types["value"]);
        let function = &resolve.interfaces[*id].functions[FUNCTION];
        let layout = Layout::of(&resolve, function, &value);
        let encode = |core: &str, world| {
            let mut module = wat::parse_str(core).unwrap();
            embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
            ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
        };
        let caller = encode(&calling(&layout, garbage.of_caller.as_deref()), caller);
        let callee = encode(&answering(&layout, garbage.of_callee.as_deref()), callee);
        Self { resolve, value, caller, callee }
    }
}

fn text(definitions: &str) -> String {
    let before: String = (0..BEFORE).map(|number| format!("p{number}: u64, ")).collect();
    let function = format!("{FUNCTION}: func({before}x: value) -> result<value, error>;");
    format!(
        "package test:values@1.0.0;
        interface echo {{
            {definitions}
            enum outcome {{ not-attempted, unknown }}
            record failure {{ outcome: outcome, retry-after-ms: option<u32>, message: string }}
            variant error {{ unavailable(failure) }}
            {function}
        }}
        interface entry {{ use echo.{{value, error}}; {function} }}
        world callee {{ export echo; }}
        world caller {{ import echo; export entry; }}"
    )
}

impl Layout {
    fn of(resolve: &Resolve, function: &wit_parser::Function, value: &Type) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        let parameters = function.params.iter().map(|parameter| &parameter.ty);
        let offsets = sizes.field_offsets(parameters);
        let result = function.result.unwrap();
        let Type::Id(id) = result else { panic!("a result has an id") };
        let TypeDefKind::Result(cases) = &resolve.types[id].kind else { panic!("it is a result") };
        let payload = sizes.payload_offset(Int::U8, [cases.ok.as_ref(), cases.err.as_ref()]);
        Self {
            value_size: sizes.size(value).size_wasm32(),
            value_in_parameters: offsets[BEFORE].0.size_wasm32(),
            value_in_result: payload.size_wasm32(),
            result_size: sizes.size(&result).size_wasm32(),
            result_align: sizes.align(&result).align_wasm32(),
        }
    }
}

/// Memory that only grows, and what both modules share.
const MEMORY: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 1024))
    (func $allocate (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32) (local $end i32) (local $have i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (local.set $end (i32.add (local.get $at) (local.get $size)))
        (local.set $have (i32.shl (memory.size) (i32.const 16)))
        (if (i32.gt_u (local.get $end) (local.get $have)) (then
            (drop (memory.grow (i32.add (i32.const 1)
                (i32.shr_u (i32.sub (local.get $end) (local.get $have)) (i32.const 16)))))))
        (global.set $next (local.get $end))
        (local.get $at))"#;

fn calling(layout: &Layout, garbage: Option<&[u8]>) -> String {
    let Layout { value_in_parameters, result_size, result_align, .. } = layout;
    let (data, spoil) =
        spoiled(garbage, layout, &format!("(i32.add (local.get $args) (i32.const {value_in_parameters}))"));
    format!(
        r#"(module
            (import "{ECHO}" "{FUNCTION}" (func $echo (param i32 i32)))
            {MEMORY}
            {data}
            (func (export "{ENTRY}#{FUNCTION}") (param $args i32) (result i32)
                (local $ret i32)
                (local.set $ret
                    (call $allocate (i32.const 0) (i32.const 0) (i32.const {result_align}) (i32.const {result_size})))
                {spoil}
                (call $echo (local.get $args) (local.get $ret))
                (local.get $ret)))"#
    )
}

fn answering(layout: &Layout, garbage: Option<&[u8]>) -> String {
    let Layout { value_size, value_in_parameters, value_in_result, result_size, result_align } = layout;
    let (data, spoil) = spoiled(garbage, layout, &format!("(i32.add (local.get $ret) (i32.const {value_in_result}))"));
    format!(
        r#"(module
            {MEMORY}
            {data}
            (func (export "{ECHO}#{FUNCTION}") (param $args i32) (result i32)
                (local $ret i32)
                (local.set $ret
                    (call $allocate (i32.const 0) (i32.const 0) (i32.const {result_align}) (i32.const {result_size})))
                (memory.copy
                    (i32.add (local.get $ret) (i32.const {value_in_result}))
                    (i32.add (local.get $args) (i32.const {value_in_parameters}))
                    (i32.const {value_size}))
                {spoil}
                (local.get $ret)))"#
    )
}

/// The bytes as data of the module, and the code that puts as many of them as the value has in its place.
fn spoiled(garbage: Option<&[u8]>, layout: &Layout, place: &str) -> (String, String) {
    let Some(garbage) = garbage else { return Default::default() };
    let size = layout.value_size.min(garbage.len());
    let bytes: String = garbage.iter().map(|byte| format!("\\{byte:02x}")).collect();
    (format!("(data $garbage \"{bytes}\")"), format!("(memory.init $garbage {place} (i32.const 0) (i32.const {size}))"))
}
