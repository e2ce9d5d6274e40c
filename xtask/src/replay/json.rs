//! Authority as JSON: one object for a state, one a line for commits.

use std::fmt::Display;

use protocols::abi::Rights;
use protocols::axiom::replay::Replay;
use protocols::axiom::{Budget, Cause, Record, State};
use serde_json::{Map, Value, json};

/// A state with its place in the log, and what is to be said of that log.
pub fn state(at: &Replay, verdict: &Value) -> Value {
    let state = at.state();
    let log =
        state.log().map(|log| log.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    json!({
        "verdict": verdict,
        "log": log,
        "epoch": state.epoch(),
        "measured": state.measured().to_string(),
        "records": at.next(),
        "chain": at.hash().to_string(),
        "state": state.hash().to_string(),
        "processes": processes(state),
        "objects": objects(state),
        "capabilities": capabilities(state),
        "mappings": mappings(state),
    })
}

fn processes(state: &State) -> Vec<Value> {
    let value = |(number, process): (u32, &protocols::axiom::state::Process)| {
        json!({
            "process": number,
            "name": process.name.as_str(),
            "object": process.object.0,
            "parent": process.parent,
            "budget": budget(process.budget),
            "given": budget(process.given),
            "threads": process.threads.keys().collect::<Vec<_>>(),
        })
    };
    state.processes().map(value).collect()
}

fn objects(state: &State) -> Vec<Value> {
    let value = |(id, object): (protocols::axiom::ObjectId, &protocols::axiom::state::Object)| {
        json!({
            "object": id.0,
            "kind": format!("{:?}", object.kind),
            "process": object.process,
            "detail": object.detail,
            "capabilities": object.capabilities,
            "mappings": object.mappings,
            "alive": object.is_alive,
        })
    };
    state.objects().map(value).collect()
}

fn capabilities(state: &State) -> Vec<Value> {
    let value =
        |(id, held): (protocols::axiom::CapabilityId, &protocols::axiom::state::Capability)| {
            json!({
                "capability": id.0,
                "object": held.object.0,
                "rights": rights(held.rights),
                "process": held.process,
                "slot": held.handle.index(),
                "generation": held.handle.generation(),
                "from": held.parent.map(|parent| parent.0),
            })
        };
    state.capabilities().map(value).collect()
}

fn mappings(state: &State) -> Vec<Value> {
    let value = |(process, address, mapping): (u32, u64, &protocols::axiom::state::Mapping)| {
        json!({
            "process": process,
            "address": address,
            "pages": mapping.pages,
            "object": mapping.object.0,
            "rights": rights(mapping.rights),
            "through": mapping.parent.map(|parent| parent.0),
        })
    };
    state.mappings().map(value).collect()
}

fn budget(budget: Budget) -> Value {
    let Budget { frames, threads, handles, messages } = budget;
    json!({ "frames": frames, "threads": threads, "handles": handles, "messages": messages })
}

fn rights(rights: Rights) -> Vec<&'static str> {
    rights.iter_names().map(|(name, _)| name).collect()
}

/// A commit with its place in history. Fields are as they are shown.
pub fn record(record: &Record) -> Value {
    let mut fields = Map::new();
    record.commit.fields(&mut |name, value| {
        let text = value.to_string();
        let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
        fields.insert(name.to_owned(), value);
    });
    let cause = match record.cause {
        Cause::Kernel => Value::Null,
        Cause::Call { core, sequence } => json!({ "core": core, "sequence": sequence }),
    };
    json!({
        "sequence": record.sequence,
        "time_us": record.time_us,
        "cause": cause,
        "commit": record.commit.kind(),
        "fields": fields,
    })
}

/// What is where a record should be.
pub fn malformed(sequence: u64, bytes: &[u8], why: &impl Display) -> Value {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "sequence": sequence, "malformed": why.to_string(), "bytes": hex })
}
