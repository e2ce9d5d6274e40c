//! Authority as a graph: Graphviz DOT, and an SVG of it.
//!
//! Processes are boxes with what they may use, objects ellipses, capabilities boxes in the colour of
//! who holds them. Solid arrows lead from a capability to what was derived from it, dashed ones
//! from a process to its children and from an object to the first capabilities to it.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow, ensure};
use layout::backends::svg::SVGWriter;
use layout::gv::{DotParser, GraphBuilder};
use protocols::abi::ObjectKind;
use protocols::axiom::show::Count;
use protocols::axiom::{CapabilityId, ObjectId, State};

/// Fills, by process number; the kernel has the first.
const COLOURS: [&str; 8] = [
    "gainsboro",
    "lightblue",
    "palegreen",
    "khaki",
    "lightpink",
    "plum",
    "lightsalmon",
    "paleturquoise",
];

/// Most nodes that are laid out here: more takes minutes, and nobody reads it.
const NODES_MAX: usize = 500;

/// The state as DOT.
pub fn dot(state: &State) -> String {
    let mut dot = String::from("digraph authority {\n  rankdir=LR;\n");
    for (number, process) in state.processes() {
        let (name, budget) = (plain(process.name.as_str()), process.budget);
        let label = format!(
            "process {number} {name}\\n{}, {}\\n{}, {}",
            Count(budget.frames, "frame"),
            Count(budget.threads.into(), "thread"),
            Count(budget.handles.into(), "handle"),
            Count(budget.messages.into(), "message")
        );
        node(&mut dot, &format!("o{}", process.object.0), "box", colour(number), &label);
        if let Some(parent) = state.process(process.parent).filter(|_| number != process.parent) {
            let _ = writeln!(
                dot,
                "  o{} -> o{} [style=\"dashed\"];",
                parent.object.0, process.object.0
            );
        }
    }
    for (id, object) in state.objects() {
        let lives = object.is_alive && object.kind == ObjectKind::Process;
        if !lives && object.capabilities + object.mappings > 0 {
            let detail = match object.kind {
                ObjectKind::Memory => format!("\\n{}", Count(object.detail, "page")),
                ObjectKind::Thread => format!("\\n{} of process {}", object.detail, object.process),
                ObjectKind::Process => format!("\\n{}, ended", object.process),
                _ => String::new(),
            };
            let label = format!("{:?} {}{detail}", object.kind, id.0);
            node(&mut dot, &format!("o{}", id.0), "ellipse", "white", &label);
        }
    }
    for (id, held) in state.capabilities() {
        let name = state.process(held.process).map_or("", |process| process.name.as_str());
        let rights: Vec<String> =
            held.rights.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        let label = format!(
            "capability {}\\n{}\\n{} {} at {}.{}",
            id.0,
            if held.rights.is_all() { "all rights".to_owned() } else { rights.join(" ") },
            held.process,
            plain(name),
            held.handle.index(),
            held.handle.generation()
        );
        node(&mut dot, &format!("c{}", id.0), "box", colour(held.process), &label);
        let _ = match held.parent {
            Some(CapabilityId(parent)) => writeln!(dot, "  c{parent} -> c{};", id.0),
            None => {
                let ObjectId(object) = held.object;
                writeln!(dot, "  o{object} -> c{} [style=\"dashed\"];", id.0)
            }
        };
    }
    for (number, (process, address, mapping)) in state.mappings().enumerate() {
        let pages = Count(mapping.pages, "page");
        let label = format!("{pages}\\nat {address:#x}\\nof process {process}");
        node(&mut dot, &format!("m{number}"), "ellipse", colour(process), &label);
        let from = match mapping.parent {
            Some(CapabilityId(parent)) => format!("c{parent}"),
            None => format!("o{}", mapping.object.0),
        };
        let _ = writeln!(dot, "  {from} -> m{number};");
    }
    dot.push_str("}\n");
    dot
}

fn node(dot: &mut String, id: &str, shape: &str, fill: &str, label: &str) {
    let _ = writeln!(
        dot,
        "  {id} [shape=\"{shape}\", style=\"filled\", fillcolor=\"{fill}\", label=\"{label}\"];"
    );
}

fn colour(process: u32) -> &'static str {
    COLOURS[process as usize % COLOURS.len()]
}

/// A name without what means something to DOT.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || "\"\\<>{}|".contains(c) { '?' } else { c }).collect()
}

/// A picture of the state.
pub fn svg(state: &State) -> Result<String> {
    let nodes = state.objects().count() + state.capabilities().count() + state.mappings().count();
    ensure!(
        nodes <= NODES_MAX,
        "{nodes} nodes are too many for a picture; `--dot FILE`, then Graphviz draws it: `dot -Tsvg \
         FILE` (Debian, Ubuntu: apt-get install graphviz)"
    );
    let dot = dot(state);
    // The crate answers what it does not understand with a panic.
    let drawn = catch_unwind(AssertUnwindSafe(|| {
        let graph = DotParser::new(&dot).process()?;
        let mut builder = GraphBuilder::new();
        builder.visit_graph(&graph);
        let mut svg = SVGWriter::new();
        builder.get().do_it(false, false, false, &mut svg);
        Ok(svg.finalize())
    }));
    let drawn = drawn.map_err(|_| anyhow!("the graph cannot be laid out; try --dot FILE"))?;
    drawn.map_err(|error: String| anyhow!("the graph cannot be read back: {error}"))
}
