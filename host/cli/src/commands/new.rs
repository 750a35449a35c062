//! `weft new function`: a crate for a function, and its entries in the manifest and the workspace. What it writes is in
//! `templates`; files that are there already are changed in place, their comments and layout kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};
use weft_core::manifest::Manifest;

use crate::assemble::{self, Place};
use crate::exit::{Exit, UsageError};
use crate::output;

const CARGO: &str = include_str!("templates/Cargo.toml.txt");
const LIB: &str = include_str!("templates/lib.rs.txt");
const SPIN: &str = include_str!("templates/spin.toml.txt");

/// The commands under `weft new`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a function that answers GET /api/<context>/<name>
    Function(Args),
}

/// What `weft new function` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bounded context that it belongs to; its database is granted
    #[arg(value_parser = kebab)]
    context: String,
    /// Its name within the context
    #[arg(value_parser = kebab)]
    name: String,
}

/// Words of lower-case letters and digits, each starting with a letter, joined by dashes.
fn kebab(text: &str) -> Result<String, String> {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if text.len() <= 60 && text.split('-').all(word) {
        Ok(text.to_owned())
    } else {
        Err("write it in kebab-case, each word starting with a letter, such as list-open".to_owned())
    }
}

/// What is to be written, and where.
#[derive(Debug)]
struct Plan {
    id: String,
    route: String,
    folder: PathBuf,
    cargo: String,
    lib: String,
    manifest: String,
    /// The workspace of the components, if it has to be changed.
    workspace: Option<(PathBuf, String)>,
}

/// Writes the function, and says what to do next.
///
/// # Errors
/// If it exists, the context does not, or a file cannot be written.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    let text =
        fs::read_to_string(&place.manifest).with_context(|| format!("cannot read {}", place.manifest.display()))?;
    let plan = plan(&manifest, &text, &args.context, &args.name)?;
    write(&plan, &place.manifest)?;
    output::line(&format!("made {}, served at GET {}", plan.folder.display(), plan.route))?;
    output::line("next:")?;
    output::line(&format!("  weft build {}", plan.id))?;
    output::line("  weft up --watch")?;
    output::line(&format!("then: curl 'http://127.0.0.1:3000{}?name=you'", plan.route))?;
    Ok(Exit::Success)
}

fn plan(manifest: &Manifest, text: &str, context: &str, name: &str) -> anyhow::Result<Plan> {
    let id = format!("{context}-{name}");
    let route = format!("/api/{context}/{name}");
    if !manifest.contexts.contains_key(context) {
        let known: Vec<&str> = manifest.contexts.keys().map(|name| &**name).collect();
        let message = format!(
            "there is no context {context:?}; the manifest has {}. For a new one, add {context} = {{}} under \
             [application.tool.weft.contexts]",
            known.join(", ")
        );
        return Err(UsageError(message).into());
    }
    let exists = |what: String| UsageError(format!("{what} is there already; choose another name"));
    if manifest.components.contains_key(id.as_str()) {
        return Err(exists(format!("component {id:?}")).into());
    }
    let components =
        manifest.build.as_ref().map_or_else(|| manifest.root.join("components"), |build| build.workdir.clone());
    let folder = components.join(context).join(name);
    if folder.exists() {
        return Err(exists(folder.display().to_string()).into());
    }
    let workdir = components.strip_prefix(&manifest.root).unwrap_or(&components).display().to_string();
    let file = id.replace('-', "_");
    let fields = [("id", id.as_str()), ("route", &route), ("workdir", &workdir), ("file", &file), ("context", context)];
    let edited = with_route(text, &route, &id)? + &filled(SPIN, &fields);
    if let Err(problems) = Manifest::parse(&manifest.path, &edited) {
        return Err(assemble::refused(problems).context("the manifest would not be sound; nothing was written"));
    }
    let workspace = with_member(&components.join("Cargo.toml"), context, name)?;
    let (cargo, lib) = (filled(CARGO, &fields), filled(LIB, &fields));
    Ok(Plan { folder, cargo, lib, manifest: edited, workspace, id, route })
}

fn filled(template: &str, fields: &[(&str, &str)]) -> String {
    fields.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// The manifest with a public route, if it has a table of routes; without one, the trigger alone serves the path.
fn with_route(text: &str, route: &str, id: &str) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("the manifest is not TOML")?;
    let path = ["application", "tool", "weft", "routes"];
    let table = path.iter().try_fold(document.as_item_mut(), |item: &mut Item, key| {
        item.as_table_like_mut().and_then(|table: &mut dyn TableLike| table.get_mut(key))
    });
    if let Some(routes) = table.and_then(Item::as_table_like_mut) {
        let mut rule = InlineTable::new();
        rule.insert("component", id.into());
        rule.insert("public", true.into());
        routes.insert(&format!("GET {route}"), Item::Value(Value::InlineTable(rule)));
    }
    let mut edited = document.to_string();
    if !edited.ends_with('\n') {
        edited.push('\n');
    }
    Ok(edited)
}

/// The workspace with the new crate as a member, unless a pattern takes it in already.
fn with_member(path: &Path, context: &str, name: &str) -> anyhow::Result<Option<(PathBuf, String)>> {
    let what = || format!("cannot read the components' workspace {}", path.display());
    let text = fs::read_to_string(path).with_context(what)?;
    let mut document: DocumentMut = text.parse().with_context(what)?;
    let members = document.get_mut("workspace").and_then(|workspace| workspace.get_mut("members"));
    let Some(members) = members.and_then(Item::as_array_mut) else {
        bail!("{} has no [workspace] with members", path.display());
    };
    let takes_in = |member: &Value| {
        member.as_str().is_some_and(|member| member == format!("{context}/{name}") || member == format!("{context}/*"))
    };
    if members.iter().any(takes_in) {
        return Ok(None);
    }
    push(members, &format!("{context}/{name}"));
    Ok(Some((path.to_owned(), document.to_string())))
}

/// Adds an element in the manner of the ones before it.
fn push(array: &mut Array, element: &str) {
    let decor = array.iter().last().map(|last| last.decor().clone());
    array.push(element);
    let own_line = decor.and_then(|decor| decor.prefix().and_then(|prefix| prefix.as_str().map(ToOwned::to_owned)));
    if let (Some(prefix), Some(last)) = (own_line.filter(|prefix| prefix.contains('\n')), array.iter_mut().last()) {
        last.decor_mut().set_prefix(prefix);
    }
}

fn write(plan: &Plan, manifest: &Path) -> anyhow::Result<()> {
    let file =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    let sources = plan.folder.join("src");
    fs::create_dir_all(&sources).with_context(|| format!("cannot make {}", sources.display()))?;
    file(&plan.folder.join("Cargo.toml"), &plan.cargo)?;
    file(&sources.join("lib.rs"), &plan.lib)?;
    if let Some((path, text)) = &plan.workspace {
        file(path, text)?;
    }
    // Last, so that the manifest never names a function that is not there.
    file(manifest, &plan.manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::Given;

    const MANIFEST: &str = r#"# A comment that stays.
spin_manifest_version = 2

[application]
name = "test"

[application.tool.weft.contexts]
courses = {}

[application.tool.weft.routes]
"GET /api/courses" = { component = "courses-list", public = true } # so does this one

[[trigger.http]]
route = "/api/courses"
component = "courses-list"

[component.courses-list]
source = "dist/spin/courses-list.wasm"
[component.courses-list.tool.weft]
source = "components/target/wasm32-wasip2/release/courses_list.wasm"
context = "courses"
"#;

    const EXPECTED: &str = r#"# A comment that stays.
spin_manifest_version = 2

[application]
name = "test"

[application.tool.weft.contexts]
courses = {}

[application.tool.weft.routes]
"GET /api/courses" = { component = "courses-list", public = true } # so does this one
"GET /api/courses/hello" = { component = "courses-hello", public = true }

[[trigger.http]]
route = "/api/courses"
component = "courses-list"

[component.courses-list]
source = "dist/spin/courses-list.wasm"
[component.courses-list.tool.weft]
source = "components/target/wasm32-wasip2/release/courses_list.wasm"
context = "courses"

[[trigger.http]]
route = "/api/courses/hello"
component = "courses-hello"

[component.courses-hello]
source = "dist/spin/courses-hello.wasm"
sqlite_databases = ["default"]
[component.courses-hello.build]
command = "weft build courses-hello"
[component.courses-hello.tool.weft]
source = "components/target/wasm32-wasip2/release/courses_hello.wasm"
context = "courses"
"#;

    fn application(members: &str) -> (tempfile::TempDir, Place) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("components")).unwrap();
        let workspace = format!("# ours\n[workspace]\nmembers = {members}\n");
        fs::write(root.path().join("components/Cargo.toml"), workspace).unwrap();
        let manifest = root.path().join("spin.toml");
        fs::write(&manifest, MANIFEST).unwrap();
        let data = root.path().join(".weft");
        (root, Place { manifest, data, given: Given::default(), runtime_config: None })
    }

    fn new(place: &Place, context: &str, name: &str) -> anyhow::Result<Exit> {
        run(&Args { context: context.to_owned(), name: name.to_owned() }, place)
    }

    #[test]
    fn a_function_is_a_crate_and_entries_and_nothing_else_changes() {
        let (root, place) = application(r#"["guest", "courses/*"]"#);
        new(&place, "courses", "hello").unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(read("spin.toml"), EXPECTED);
        place.load().unwrap();
        let cargo = read("components/courses/hello/Cargo.toml");
        assert!(cargo.starts_with("[package]\nname = \"courses-hello\"\ndescription = \"GET /api/courses/hello\"\n"));
        let lib = read("components/courses/hello/src/lib.rs");
        assert!(lib.starts_with("//! `GET /api/courses/hello?name=`") && lib.contains("http_handler!(handle)"));
        assert!(!format!("{cargo}{lib}").contains("{{"), "{cargo}{lib}");
        assert_eq!(read("components/Cargo.toml"), "# ours\n[workspace]\nmembers = [\"guest\", \"courses/*\"]\n");
    }

    #[test]
    fn the_workspace_gets_a_member_where_no_pattern_has_it() {
        let (root, place) = application("[\"guest\"]");
        new(&place, "courses", "hello").unwrap();
        let workspace = fs::read_to_string(root.path().join("components/Cargo.toml")).unwrap();
        assert_eq!(workspace, "# ours\n[workspace]\nmembers = [\"guest\", \"courses/hello\"]\n");
        let (root, place) = application("[\n    \"guest\",\n]");
        new(&place, "courses", "hello").unwrap();
        let workspace = fs::read_to_string(root.path().join("components/Cargo.toml")).unwrap();
        assert_eq!(workspace, "# ours\n[workspace]\nmembers = [\n    \"guest\",\n    \"courses/hello\",\n]\n");
    }

    #[test]
    fn what_exists_is_not_overwritten() {
        let (root, place) = application(r#"["courses/*"]"#);
        let refused = |context: &str, name: &str| new(&place, context, name).unwrap_err().to_string();
        assert!(refused("courses", "list").contains("component \"courses-list\" is there already"));
        fs::create_dir_all(root.path().join("components/courses/taken")).unwrap();
        assert!(refused("courses", "taken").contains("courses/taken is there already"));
        assert!(refused("nowhere", "hello").contains("add nowhere = {} under"));
        assert_eq!(fs::read_to_string(&place.manifest).unwrap(), MANIFEST);
    }

    #[test]
    fn names_are_kebab_case() {
        for good in ["a", "list-open", "v2"] {
            assert_eq!(kebab(good), Ok(good.to_owned()));
        }
        for bad in ["", "A", "1st", "a-", "a--b", "a_b", "../x", "a-1", &"a".repeat(61)] {
            kebab(bad).expect_err(bad);
        }
    }
}
