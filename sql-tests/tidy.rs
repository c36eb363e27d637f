//! The rules that a test can hold: layers, homes of dependencies, first lines, no sleeping tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

/// All of them.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("tidy::layers", layers),
        Trial::test("tidy::uses_lines", uses_lines),
        Trial::test("tidy::dependency_homes", dependency_homes),
        Trial::test("tidy::first_lines", first_lines),
        Trial::test("tidy::forbidden_words", forbidden_words),
        Trial::test("tidy::files_are_short", files_are_short),
        Trial::test("tidy::functions_are_short", functions_are_short),
        Trial::test("tidy::slt_files_are_short", slt_files_are_short),
    ]
}

/// Modules that everything may name without saying so.
const GROUND: [&str; 4] = ["error", "config", "metrics", "data"];

/// A source file, with the top-level module it belongs to.
struct File {
    path: PathBuf,
    module: String,
    text: String,
    /// Where its unit tests begin, as a line index.
    tests_at: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let src = root().join("src");
    let mut paths = Vec::new();
    find(&src, &mut paths);
    paths.sort();
    let file = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let inside = path.strip_prefix(&src).unwrap_or(&path).to_owned();
        let first = inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        let module = first.unwrap_or_default().trim_end_matches(".rs").to_owned();
        let tests_at = text.lines().position(|l| l.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
        let is_test = inside.iter().any(|n| n == "tests.rs" || n == "tests");
        File { path: inside, module, text, tests_at: if is_test { 0 } else { tests_at } }
    };
    paths.into_iter().map(file).collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|e| e == "rs") {
            paths.push(path);
        }
    }
}

/// The modules of lib.rs in the order of its `mod` lines: reading order, the law.
fn order() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap_or_default();
    text.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(|l| l.trim_end_matches(';').to_owned()).collect()
}

/// The top-level modules that a line of code names through `crate::`.
fn named(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        names.push(std::mem::take(&mut word));
                        start = true;
                    }
                    c if depth == 0 && start && (c.is_alphanumeric() || c == '_') => word.push(c),
                    ' ' | '\n' => {}
                    _ => start = false,
                }
            }
            names.push(word);
        } else {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The code of a file: no comments, `use` lists joined to one line each; with the line numbers, from 1.
fn code(file: &File) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (i, line) in file.text.lines().enumerate().take(file.tests_at) {
        let line = line.split("//").next().unwrap_or_default();
        match lines.last_mut() {
            Some((_, last)) if open => last.push_str(line.trim()),
            _ => lines.push((i + 1, line.to_owned())),
        }
        let last = lines.last().map_or("", |(_, l)| l.as_str());
        let is_use = last.trim_start().starts_with("use ") || last.trim_start().starts_with("pub use ");
        open = is_use && !last.contains(';');
    }
    lines
}

fn verdict(wrong: Vec<String>) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} places:\n{}", wrong.len(), wrong.join("\n")).into()) }
}

/// A module names only modules above it in lib.rs.
fn layers() -> Result<(), Failed> {
    let order = order();
    let rank: BTreeMap<&str, usize> = order.iter().enumerate().map(|(i, m)| (m.as_str(), i)).collect();
    let mut wrong = Vec::new();
    for file in files() {
        let Some(&own) = rank.get(file.module.as_str()) else { continue };
        for (line, text) in code(&file) {
            for name in named(&text) {
                if rank.get(name.as_str()).is_some_and(|&r| r > own) {
                    wrong.push(format!("{}:{line}: {} may not name {name}", file.path.display(), file.module));
                }
            }
        }
    }
    verdict(wrong)
}

/// What the front page's `Uses:` line says is what the folder's code names.
fn uses_lines() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    let files = files();
    for module in order() {
        let front = files
            .iter()
            .find(|f| f.path == Path::new(&module).join("mod.rs") || f.path == Path::new(&format!("{module}.rs")));
        let Some(front) = front else { continue };
        let Some(line) = front.text.lines().find_map(|l| l.strip_prefix("//! Uses: ")) else {
            wrong.push(format!("{}: no line `Uses: ..`", front.path.display()));
            continue;
        };
        let said: Vec<&str> = line.trim_end_matches('.').split(", ").filter(|m| *m != "nothing").collect();
        let mut used: Vec<String> = Vec::new();
        for file in files.iter().filter(|f| f.module == module) {
            used.extend(code(file).iter().flat_map(|(_, text)| named(text)));
        }
        used.sort();
        used.dedup();
        used.retain(|m| *m != module && order().contains(m));
        for name in &used {
            if !said.contains(&name.as_str()) && !GROUND.contains(&name.as_str()) {
                wrong.push(format!("{module} uses {name} and does not say so"));
            }
        }
        for name in said {
            if !used.iter().any(|u| u == name) && !GROUND.contains(&name) {
                wrong.push(format!("{module} says that it uses {name} and does not"));
            }
        }
    }
    verdict(wrong)
}

/// A dependency has one home.
fn dependency_homes() -> Result<(), Failed> {
    let homes: [(&str, &[&str]); 6] = [
        ("timely", &["runtime"]),
        ("pgwire", &["server"]),
        ("sqlparser", &["sql", "functions"]),
        ("nexmark", &["connectors"]),
        ("axum", &["server"]),
        ("clap", &["cli"]),
    ];
    let mut wrong = Vec::new();
    for file in files() {
        for (line, text) in code(&file) {
            for (dependency, allowed) in homes {
                let names = text.contains(&format!("{dependency}::"))
                    && !text.contains(&format!("crate::{dependency}"))
                    || text.contains(&format!("datafusion::sql::{dependency}"));
                let ours = text.contains(&format!("::{dependency}::")) && !text.contains("datafusion::sql::")
                    || text.contains(&format!("_{dependency}::"));
                if names && !ours && !allowed.contains(&file.module.as_str()) {
                    wrong.push(format!("{}:{line}: {dependency} lives in {allowed:?}", file.path.display()));
                }
            }
        }
    }
    verdict(wrong)
}

/// Line one says what the file is.
fn first_lines() -> Result<(), Failed> {
    let files = files();
    let wrong = files.iter().filter(|f| !f.text.starts_with("//! ") && f.path != Path::new("main.rs"));
    verdict(wrong.map(|f| format!("{}: line one is not `//! ..`", f.path.display())).collect())
}

/// No sleeping or ignored tests, nothing left to do.
fn forbidden_words() -> Result<(), Failed> {
    let ignore = concat!("#[", "ignore");
    let everywhere =
        [ignore, concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), "not built yet"];
    let in_tests = [concat!("sle", "ep(")];
    let mut all = files();
    let mut tests = Vec::new();
    find(&root().join("sql-tests"), &mut tests);
    for path in tests {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let path = path.strip_prefix(root()).unwrap_or(&path).to_owned();
        all.push(File { path, module: "sql-tests".into(), text, tests_at: 0 });
    }
    let mut wrong = Vec::new();
    for file in all.iter().filter(|f| !f.path.ends_with("tidy.rs")) {
        for (i, line) in file.text.lines().enumerate() {
            let words = everywhere.iter().chain(in_tests.iter().filter(|_| i >= file.tests_at));
            for word in words.filter(|w| line.contains(**w) && !line.contains("fn sleep(")) {
                wrong.push(format!("{}:{}: {word}", file.path.display(), i + 1));
            }
        }
    }
    verdict(wrong)
}

/// Files longer than [`FILE_LINES`] before their tests; each with the length it may have, which may only shrink.
const LONG: [(&str, usize); 3] = [("engine/ddl.rs", 620), ("engine/dml.rs", 555), ("sql/binder/typing.rs", 580)];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const SLT_LINES: usize = 260;

fn files_are_short() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for file in files() {
        let lines = file.text.lines().count().min(file.tests_at);
        let name = file.path.display().to_string();
        let allowed = LONG.iter().find(|(path, _)| *path == name).map_or(FILE_LINES, |(_, lines)| *lines);
        if lines > allowed {
            wrong.push(format!("{name}: {lines} lines before its tests, {allowed} at most"));
        }
    }
    verdict(wrong)
}

/// A function fits on a screen. As rustfmt writes it, it ends at the first `}` that stands below its beginning.
fn functions_are_short() -> Result<(), Failed> {
    let begins = |line: &str| {
        let before =
            |word: &&str| matches!(*word, "pub" | "async" | "const") || word.starts_with("pub(") || word.ends_with(')');
        line.split_whitespace().find(|word| !before(word)) == Some("fn")
    };
    let mut wrong = Vec::new();
    for file in files() {
        let lines: Vec<&str> = file.text.lines().take(file.tests_at).collect();
        for (from, line) in lines.iter().enumerate().filter(|(_, line)| begins(line) && !line.ends_with(['}', ';'])) {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let length = lines[from..].iter().position(|l| **l == end).map_or(0, |n| n + 1);
            if length > FUNCTION_LINES {
                wrong.push(format!("{}:{}: {length} lines, {FUNCTION_LINES} at most", file.path.display(), from + 1));
            }
        }
    }
    verdict(wrong)
}

/// One subject in each file.
fn slt_files_are_short() -> Result<(), Failed> {
    let mut folders = vec![root().join("sql-tests/slt")];
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.lines().count();
            if lines > SLT_LINES {
                wrong.push(format!("{}: {lines} lines, {SLT_LINES} at most", path.display()));
            }
            if !text.starts_with("# ") {
                wrong.push(format!("{}: its first line does not say what it shows", path.display()));
            }
        }
    }
    verdict(wrong)
}
