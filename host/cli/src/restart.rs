//! What of a manifest only a start of the host takes up, because databases and logs are opened by it. A reload is refused where the new
//! functions would miss it, and else tells of it.

use weft_core::manifest::{Context, Diagnostic, Manifest};

/// What the new functions would miss: contexts that are not open, or not migrated.
#[must_use]
pub fn refused(started: &Manifest, manifest: &Manifest) -> Vec<Diagnostic> {
    let names = |context: &Context| -> Vec<_> {
        context.migrations.iter().map(|migration| (migration.number, migration.name.clone())).collect()
    };
    let wanting = |context: &Context| match started.contexts.get(&context.name) {
        None => Some(format!("needs a restart: the context {:?} is new, and its database is not open", &*context.name)),
        Some(open) if names(open) != names(context) => Some(format!(
            "needs a restart: the context {:?} has other migrations, which run at a start",
            &*context.name
        )),
        Some(_) => None,
    };
    manifest.contexts.values().filter_map(|context| Some(manifest.problem(context.line, wanting(context)?))).collect()
}

/// What else is as it was at the start until the next one.
#[must_use]
pub fn told(started: &Manifest, manifest: &Manifest) -> Vec<String> {
    let startup = |manifest: &Manifest| manifest.startup.iter().map(|id| id.value.clone()).collect::<Vec<_>>();
    let application = |manifest: &Manifest| (manifest.application.name.clone(), manifest.application.version.clone());
    let changed = [
        (application(started) != application(manifest), "name and version in [application]"),
        (started.engine != manifest.engine, "[application.tool.weft.engine]"),
        (
            started.deadlines.database() != manifest.deadlines.database(),
            "deadlines.database_ms, as far as the stores of the runtime configuration go by it",
        ),
        (startup(started) != startup(manifest), "startup functions, which run at a start"),
        (started.messaging != manifest.messaging, "[application.tool.weft.messaging]"),
        (started.sagas != manifest.sagas, "[application.tool.weft.sagas]"),
    ];
    let changed = changed.into_iter().filter(|(is_changed, _)| *is_changed);
    changed.map(|(_, what)| format!("needs a restart: {what}")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FIRST: &str = "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.tool.weft.contexts]\na = {}\n\
                         [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n";

    fn parsed(text: &str) -> Manifest {
        Manifest::parse(Path::new("spin.toml"), text).unwrap()
    }

    #[test]
    fn a_context_that_is_new_or_has_new_migrations_is_told_with_its_line() {
        let started = parsed(FIRST);
        let with_another = parsed(&FIRST.replace("a = {}", "a = {}\nb = {}"));
        let [problem] = &refused(&started, &with_another)[..] else { panic!("one context is new") };
        assert!(problem.to_string().starts_with("spin.toml:6: needs a restart: the context \"b\" is new"), "{problem}");
        assert!(refused(&with_another, &started).is_empty(), "one that is gone is missed by nobody");

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sql")).unwrap();
        std::fs::write(folder.path().join("sql/0001_first.sql"), "").unwrap();
        let text = FIRST.replace("a = {}", "a = { migrations = \"sql\" }");
        let read = || Manifest::parse(&folder.path().join("spin.toml"), &text).unwrap();
        let started = read();
        assert!(refused(&started, &read()).is_empty());
        std::fs::write(folder.path().join("sql/0002_second.sql"), "").unwrap();
        assert!(refused(&started, &read())[0].message.contains("other migrations"));
    }

    #[test]
    fn what_was_opened_at_the_start_is_told_if_it_is_to_be_otherwise() {
        let started = parsed(FIRST);
        assert!(told(&started, &started).is_empty());
        let with = |table: &str| told(&started, &parsed(&FIRST.replace("[[trigger", &format!("{table}\n[[trigger"))));
        assert_eq!(
            with("[application.tool.weft.sagas]\nretention_days = 3"),
            ["needs a restart: [application.tool.weft.sagas]"]
        );
        assert_eq!(with("[application.tool.weft.messaging]\nretention_days = 3").len(), 1);
        assert!(with("[application.tool.weft.gateway]\nmax_concurrent = 3").is_empty());
    }
}
