//! Profiles of a component (`[component.<id>.profile.<name>]`): what stands in place of its own source, build command,
//! environment and dependencies when the profile is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build;
use super::dependency::{self, Written};
use super::diagnostic::Located;
use super::grants;
use super::section::{Entry, Section};
use super::source::{self, Files, SourceFile};

/// One profile of one component.
#[derive(Default)]
pub(super) struct Profile {
    pub source: Option<Located<SourceFile>>,
    pub build_commands: Option<Vec<Arc<str>>>,
    pub build_line: usize,
    pub environment: BTreeMap<Arc<str>, Arc<str>>,
    pub dependencies: Vec<Written>,
}

/// All profiles of a component, by name. They are read whichever is asked for, so that each is found wrong at once.
pub(super) fn read(section: &Section<'_>, files: &Files) -> BTreeMap<Arc<str>, Profile> {
    let entries = section.section("profile").map(|table| table.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, entry)| Some((name.value, one(entry, files)?))).collect()
}

fn one(entry: Entry<'_>, files: &Files) -> Option<Profile> {
    let section = entry.section()?;
    let mut profile = Profile {
        source: section.get("source").and_then(|entry| source::component_source(entry, &section, files)),
        environment: grants::environment(&section),
        dependencies: dependency::written(&section, files),
        ..Profile::default()
    };
    if let Some(build) = section.section("build") {
        profile.build_line = build.line;
        profile.build_commands = Some(build::commands(&build));
        build.finish_with(|key| {
            ["workdir", "watch"].contains(&key).then(|| "a profile changes the command of a build alone".to_owned())
        });
    }
    section.finish_with(|key| {
        grants::is_spin_key(key)
            .then(|| "a profile changes source, build, environment and dependencies alone".to_owned())
    });
    Some(profile)
}
