//! `unsafe` stays on its islands, and every use of it says why it is sound.

use super::Breach;
use super::source::{Source, word};

/// Folders (ending in `/`) and single files that may hold `unsafe`, each for a reason.
const ISLANDS: &[&str] = &[
    // The machine.
    "hal/",
    // Tasks, wakers and queues by pointer; model-checked.
    "executor/src/raw/",
    // The promises a platform makes: an `unsafe trait`, nothing else.
    "executor/src/platform.rs",
    // Tests that make such promises, and the model checker's cells.
    "executor/tests/",
    // Ring 3: entry and system calls; and programs whose purpose is to misbehave.
    "bench/src/runtime/",
    "bench/src/bin/attack/",
    "bench/src/bin/chaos/",
    // The kernel's boot order, its last words, and what its fast paths share without a lock.
    "kernel/src/start.rs",
    "kernel/src/panic.rs",
    "kernel/src/platform.rs",
    "kernel/src/gateway/mod.rs",
    "kernel/src/ipc/endpoint.rs",
    "kernel/src/ipc/mail.rs",
    "kernel/src/ipc/unlink.rs",
    "kernel/src/logs/syslog.rs",
    "kernel/src/process/handles.rs",
    "kernel/src/process/object.rs",
    "kernel/src/process/run.rs",
    "kernel/src/process/space.rs",
    "kernel/src/process/thread.rs",
];

/// How far above an `unsafe` its SAFETY line may begin.
const REACH: usize = 12;

/// Checks one file.
pub fn check(file: &str, source: &Source) -> Vec<Breach> {
    let home = ISLANDS.iter().any(|island| {
        if island.ends_with('/') { file.starts_with(island) } else { file == *island }
    });
    let mut breaches = Vec::new();
    for (line, code) in source.code() {
        let Some(at) = word(code, "unsafe") else { continue };
        if !home {
            breaches.push(Breach::error(
                file,
                line,
                "`unsafe` outside its islands: move it to hal/ or executor/src/raw/, or name the \
                 file and the reason in xtask/src/lint/islands.rs",
            ));
            continue;
        }
        if wants_reason(&code[at + "unsafe".len()..]) && !explained(source, line) {
            breaches.push(Breach::error(
                file,
                line,
                "no `// SAFETY:` line above: name the invariant and who keeps it",
            ));
        }
    }
    breaches
}

/// Blocks and impls promise something here; functions and traits say what they ask of others
/// under `# Safety`, which clippy checks; attributes are explained by the item they stand on.
fn wants_reason(after: &str) -> bool {
    let after = after.trim_start();
    after.is_empty() || after.starts_with('{') || after.starts_with("impl")
}

/// Whether a comment on the line, or within reach above it in the same item, says SAFETY.
fn explained(source: &Source, line: usize) -> bool {
    let said = |at: usize| {
        let comment = &source.lines[at].comment;
        comment.contains("SAFETY:") || comment.contains("# Safety")
    };
    let from = line.saturating_sub(REACH + 1);
    // The line itself, the first inside the block, and those above.
    (from..(line + 1).min(source.lines.len())).any(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn islands_hold_unsafe() {
        let source = Source::new("// SAFETY: nobody else\nunsafe { x() }");
        assert!(check("hal/src/a.rs", &source).is_empty());
        assert!(check("executor/src/raw/a.rs", &source).is_empty());
        assert_eq!(check("kernel/src/other.rs", &source)[0].line, 2);
        assert_eq!(check("drivers/src/main.rs", &source).len(), 1);
    }

    #[test]
    fn blocks_and_impls_say_why() {
        assert_eq!(check("hal/src/a.rs", &Source::new("unsafe { x() }")).len(), 1);
        assert_eq!(check("hal/src/a.rs", &Source::new("unsafe impl Send for X {}")).len(), 1);
        assert!(check("hal/src/a.rs", &Source::new("unsafe { x() } // SAFETY: ours")).is_empty());
        assert!(check("hal/src/a.rs", &Source::new("#[unsafe(no_mangle)]")).is_empty());
        assert!(check("hal/src/a.rs", &Source::new("pub unsafe fn f() {}")).is_empty());
        assert!(check("hal/src/a.rs", &Source::new("// unsafe { }\nlet unsafety = 1;")).is_empty());
        let far = format!("// SAFETY: x\n{}unsafe {{ x() }}", "y();\n".repeat(20));
        assert_eq!(check("hal/src/a.rs", &Source::new(&far)).len(), 1);
    }
}
