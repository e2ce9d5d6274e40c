//! Trees of derivation: what a revoke takes, and what it leaves.

use alloc::vec::Vec;

use bench::abi::{Error, Handle, Rights};
use bench::runtime::calls;
use bench::runtime::capability::Notification;

use crate::checks::Checks;
use crate::random::Chance;

/// What a revoked handle is.
const GONE: &[Error] = &[Error::BadHandle];

/// What is below goes, what is above and beside stays; what is dropped leaves its children behind.
pub fn subtree(checks: &mut Checks) {
    let Some(root) = checks.works("root", Notification::create()) else { return };
    let derive = |from: Handle| calls::duplicate(from, Rights::all());
    let tree = (|| {
        let (a, b) = (derive(root.handle())?, derive(root.handle())?);
        let (aa, ab) = (derive(a)?, derive(a)?);
        Ok([a, b, aa, ab, derive(aa)?, derive(ab)?])
    })();
    let Some([a, b, aa, ab, aaa, aba]) = checks.works("tree", tree) else { return };
    let mut expect = |what: &str, alive: &[Handle], dead: &[Handle]| {
        for handle in alive {
            checks.works((what, handle), calls::inspect(*handle));
        }
        for handle in dead {
            checks.refused((what, handle), calls::notification_signal(*handle, 1), GONE);
        }
    };
    let _ = calls::revoke(aa);
    expect("revoked a leaf's parent", &[a, b, aa, ab, aba], &[aaa]);
    let _ = calls::drop_capability(ab);
    expect("dropped in the middle", &[a, b, aa, aba], &[ab]);
    let _ = calls::revoke(a);
    expect("revoked an inner one", &[root.handle(), a, b], &[aa, aba]);
    let _ = calls::drop_capability(root.handle());
    expect("dropped the root", &[a, b], &[root.handle()]);
    let _ = calls::revoke(a);
    expect("an heir revokes nothing of its sister's", &[a, b], &[]);
    core::mem::forget(root);
}

/// Thousands of derivations, drops and revokes in any order, each compared with what a list of
/// parents says.
pub fn random(checks: &mut Checks) {
    let mut chance = Chance::seeded(calls::clock().map_or(1, |(now, _)| now));
    let mut nodes: Vec<(Handle, Option<usize>, bool)> = Vec::new();
    for step in 0..3_000 {
        let living: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].2).collect();
        let any = living.get(chance.below(living.len() as u64) as usize).copied();
        match (chance.below(10), any) {
            (0, _) | (_, None) if living.len() < 64 => {
                if let Some(handle) = checks.works(step, calls::notification_create()) {
                    nodes.push((handle, None, true));
                }
            }
            (1..=6, Some(from)) if living.len() < 64 => {
                let made = calls::duplicate(nodes[from].0, Rights::all());
                if let Some(handle) = checks.works(step, made) {
                    nodes.push((handle, Some(from), true));
                }
            }
            (7 | 8, Some(at)) => {
                checks.works(step, calls::drop_capability(nodes[at].0));
                let parent = nodes[at].1;
                nodes[at].2 = false;
                for node in nodes.iter_mut().filter(|node| node.2 && node.1 == Some(at)) {
                    node.1 = parent;
                }
            }
            (_, Some(at)) => {
                checks.works(step, calls::revoke(nodes[at].0));
                // Children come after their parents in the list, heirs of a dropped one too.
                let mut gone = alloc::vec![at];
                for (below, node) in nodes.iter_mut().enumerate().skip(at + 1) {
                    if node.2 && node.1.is_some_and(|parent| gone.contains(&parent)) {
                        node.2 = false;
                        gone.push(below);
                    }
                }
            }
            _ => {}
        }
        for (handle, _, lives) in nodes.iter().rev().take(100) {
            if calls::inspect(*handle).is_ok() != *lives {
                checks.holds((step, handle, lives), false);
            }
        }
        if nodes.len() > 400 {
            for (handle, _, _) in nodes.drain(..).filter(|node| node.2) {
                checks.works(step, calls::drop_capability(handle));
            }
        }
    }
}
