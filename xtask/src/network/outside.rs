//! A network boot as `test` sees it: the medium is made here, the machine runs here or, if it
//! needs a private network, in there, and the verdict comes back in a file.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::boots::{NetBoot, Wiring};
use super::{WORD, inside, namespace, peers};
use crate::boots::Needs;
use crate::process::Running;
use crate::qemu::DISK;
use crate::run;
use crate::trial::{Bench, Verdict};
use crate::{image, medium};

/// The file in a run's folder which says how it went in there.
const VERDICT: &str = "verdict.json";

/// Carries one out.
pub fn carry_out(bench: &mut Bench<'_>, boot: &NetBoot) -> Result<Verdict> {
    if boot.wiring != Wiring::User {
        let needed = peers::NEEDED.iter().map(|(name, _)| peers::find(name).map(drop));
        let possible = namespace::available().map(drop);
        if let Err(why) = needed.collect::<Result<(), String>>().and(possible) {
            return Ok(Verdict::Skipped(why));
        }
    }
    let Some(loader) = bench.loader(Needs::AnyLoader)? else {
        return Ok(Verdict::Skipped("no loader at hand".to_owned()));
    };
    let folder = run::folder(bench.workspace, boot.name)?;
    let line = format!("log=info {}", boot.words);
    image::write(&folder.path.join(DISK), &medium::entries(&bench.built, &loader, &line)?)?;
    let accel = bench.options.accel;
    let verdict = match boot.wiring {
        Wiring::User => inside::play(boot, &folder.path, &bench.emulator, accel),
        _ => in_there(boot, &folder.path, accel.name()),
    };
    let _ = fs::remove_file(folder.path.join(DISK));
    verdict
}

fn in_there(boot: &NetBoot, dir: &Path, accel: &str) -> Result<Verdict> {
    let file = dir.join(VERDICT);
    let _ = fs::remove_file(&file);
    let cards: Vec<&str> = boot.cards.iter().map(|model| model.name()).collect();
    let mut command = namespace::enter()?;
    command.args([WORD, boot.name]).arg(dir).arg(accel);
    command.args([boot.cores.to_string(), cards.join(",")]).stdin(Stdio::null());
    let child = Running::start(&mut command)?;
    let deadline = Instant::now() + Duration::from_secs(boot.limit);
    let status = child.wait_until(Some(deadline))?;
    drop(child);
    let Some(status) = status else {
        return Ok(Verdict::Failed(format!("still under way after {} s", boot.limit)));
    };
    match fs::read_to_string(&file) {
        Ok(text) => read(&text),
        Err(_) => bail!("what ran in the private network left without a verdict ({status})"),
    }
}

/// Writes how it went in there.
pub fn write(dir: &Path, verdict: &Verdict) -> Result<()> {
    let (name, text) = match verdict {
        Verdict::Passed(text) => ("passed", text),
        Verdict::Failed(text) => ("failed", text),
        Verdict::Skipped(text) => ("skipped", text),
    };
    let document = json!({ "verdict": name, "words": text });
    fs::write(dir.join(VERDICT), document.to_string()).context("cannot write the verdict")
}

fn read(text: &str) -> Result<Verdict> {
    let document: Value = serde_json::from_str(text).context("the verdict is not JSON")?;
    let words = document["words"].as_str().unwrap_or_default().to_owned();
    match document["verdict"].as_str() {
        Some("passed") => Ok(Verdict::Passed(words)),
        Some("failed") => Ok(Verdict::Failed(words)),
        Some("skipped") => Ok(Verdict::Skipped(words)),
        other => bail!("{other:?} is no verdict"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_come_back_as_they_were() {
        let dir = std::env::temp_dir().join(format!("xtask-verdict-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let back = |verdict: Verdict| {
            write(&dir, &verdict).unwrap();
            read(&fs::read_to_string(dir.join(VERDICT)).unwrap()).unwrap()
        };
        assert!(
            matches!(back(Verdict::Passed("a\nb".to_owned())), Verdict::Passed(w) if w == "a\nb")
        );
        assert!(matches!(back(Verdict::Failed("\"".to_owned())), Verdict::Failed(w) if w == "\""));
        assert!(matches!(back(Verdict::Skipped(String::new())), Verdict::Skipped(_)));
        fs::remove_dir_all(&dir).unwrap();
        assert!(read("{}").is_err() && read("").is_err());
    }
}
