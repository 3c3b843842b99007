//! The rules of the house, as tests: who imports whom, sizes, docs. A failure names rule and fix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// The project's own crates, and which of them each may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("chainspec", &[]),
    ("execution", &["chainspec"]),
    ("da", &["chainspec"]),
    ("consensus", &["chainspec"]),
    ("bridge", &["chainspec"]),
    ("node", &["chainspec", "execution", "da", "consensus", "bridge"]),
    ("tests", &["chainspec", "execution", "da", "consensus", "bridge", "node"]),
    ("bench", &["chainspec", "execution", "da", "consensus", "bridge", "node", "tests"]),
];

/// Outside crates that belong to few of ours.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("redb", &["execution", "bench"], "only the store knows the database"),
    ("revm", &["execution", "tests", "bench"], "every generic of revm stays behind `Vm`"),
    ("revm-inspectors", &["execution"], "every tracer of revm stays behind `Vm`"),
    ("jsonrpsee", &["node", "tests", "bench"], "the JSON-RPC server belongs to the node"),
    ("clap", &["node", "bench"], "the command line belongs to the node"),
    ("eyre", &["node", "tests", "bench"], "libraries have one thiserror enum each"),
    (
        "tokio",
        &["da", "consensus", "bridge", "node", "tests", "bench"],
        "async begins where the network begins",
    ),
    (
        "reqwest",
        &["da", "bridge", "node", "tests"],
        "chainspec, execution and consensus know no network",
    ),
];

/// What may lie at the top level.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".git",
    ".github",
    ".gitignore",
    ".cargo",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "bridge",
    "chainspec",
    "clippy.toml",
    "consensus",
    "da",
    "deny.toml",
    "docs",
    "execution",
    "justfile",
    "node",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "target",
    "tests",
];

const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the root").to_path_buf()
}

fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project is readable") {
            let path = entry.expect("an entry is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | ".git") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(&path).expect("a source file is UTF-8");
                found.push((path, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file found: the test looks in the wrong place");
    found
}

fn report(rule: &str, fix: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}\n  fix: {fix}\n  {}", offenders.join("\n  "));
}

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    metadata
        .packages
        .iter()
        .map(|package| {
            let name = package.name.trim_start_matches("causeway-").to_string();
            let uses = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == cargo_metadata::DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .collect();
            (name, uses)
        })
        .collect()
}

#[test]
fn crates_import_only_downwards() {
    let all = dependencies();
    let mut offenders = Vec::new();
    for (name, allowed) in IMPORTS {
        let uses = all.get(*name).unwrap_or_else(|| panic!("no crate named {name}"));
        for dependency in uses.iter().filter_map(|found| found.strip_prefix("causeway-")) {
            if !allowed.contains(&dependency) {
                offenders.push(format!("{name} imports {dependency}"));
            }
        }
    }
    assert_eq!(all.len(), IMPORTS.len(), "every crate of the workspace stands in IMPORTS");
    report("siblings never import each other", "move the shared value to chainspec", &offenders);
}

#[test]
fn outside_crates_stay_at_home() {
    let all = dependencies();
    let mut offenders = Vec::new();
    for (outside, homes, why) in HOMES {
        for (name, uses) in &all {
            if uses.iter().any(|found| found == outside) && !homes.contains(&name.as_str()) {
                offenders.push(format!("{name} depends on {outside}: {why}"));
            }
        }
    }
    report("a heavy dependency has few homes", "ask the crate that owns it", &offenders);
}

#[test]
fn source_files_are_small_and_say_what_they_are_for() {
    let mut long = Vec::new();
    let mut silent = Vec::new();
    for (path, text) in files("rs") {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            long.push(format!("{} has {lines} lines", path.display()));
        }
        if !text.starts_with("//!") {
            silent.push(path.display().to_string());
        }
    }
    report("a file has at most 500 lines", "split it by concern", &long);
    report("a file opens with one `//!` sentence", "say what it is for", &silent);
}

#[test]
fn forbidden_words_do_not_occur() {
    // Put together here, so that this file does not contain them.
    let words = [
        (format!("#[{}]", "ignore"), "a test that never runs is no test"),
        (format!("{}!(", "todo"), "no stubs"),
        (format!("{}!(", "unimplemented"), "no stubs"),
        (format!("/{}/main", "work"), "the project stands alone"),
        (format!("/{}/shared", "work"), "the project stands alone"),
        (format!("index.{}.io", "crates"), "no registry host"),
        (format!("registry.{}.org", "npmjs"), "no registry host"),
    ];
    let mut offenders = Vec::new();
    for extension in ["rs", "md", "toml", "json", "mjs", "sol"] {
        for (path, text) in files(extension) {
            for (word, why) in &words {
                if text.contains(word.as_str()) {
                    offenders.push(format!("{} contains {word:?}: {why}", path.display()));
                }
            }
        }
    }
    report("some words do not belong here", "remove them", &offenders);
}

#[test]
fn only_the_node_reads_the_environment() {
    let offenders: Vec<_> = files("rs")
        .into_iter()
        .filter(|(path, text)| {
            let inside = path.strip_prefix(root()).unwrap_or(path);
            let free = inside.starts_with("node") || inside.starts_with("tests");
            let test = text.contains("CAUSEWAY_BLESS");
            !free && !test && (text.contains("std::env::var") || text.contains("env::var("))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("settings are arguments", "pass the value in from node", &offenders);
}

#[test]
fn the_top_level_is_what_the_user_fixed() {
    let offenders: Vec<_> = std::fs::read_dir(root())
        .expect("the root is readable")
        .map(|entry| entry.expect("an entry is readable").file_name().to_string_lossy().to_string())
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    report("the top level is fixed", "put it into a member or docs/", &offenders);
}
