//! The benchmark's report: one HTML file with its charts inside (SVG), no scripts, no network.

use std::fmt::Write;

use serde_json::Value;

use crate::metrics::{Metric, number};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--paper:#fff;--line:#d9dee7;--bar:#3b6fd4;--far:#e2884b}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf3;--soft:#9aa5b8;--paper:#12161d;--line:#2c3442;--bar:#6d9bf5;--far:#f0a36b}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid var(--line)}\
p{color:var(--soft);margin:.2rem 0 1rem}table{border-collapse:collapse;font-size:.85rem;width:100%}\
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left}\
svg{display:block;max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}\
.wide{overflow-x:auto}";

/// The whole page.
pub fn page<'a>(machine: &Value, metrics: &'a [Metric]) -> String {
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(
        html,
        "<meta name=\"viewport\" content=\"width=device-width\"><title>Pollux benchmark</title>\
         <style>{STYLE}</style></head><body><h1>Pollux benchmark</h1>"
    );
    let facts = machine.as_object().into_iter().flatten().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{} {}", escaped(&name.replace('_', " ")), escaped(&value))
    });
    let _ = write!(html, "<p>{}</p>", facts.collect::<Vec<_>>().join(" · "));
    let mut seen: Vec<(&str, &str, &str)> = Vec::new();
    for metric in metrics {
        let key = |metric: &'a Metric| {
            (by_completion(&metric.name).0, metric.unit.as_str(), metric.mode.as_str())
        };
        let of = key(metric);
        if seen.contains(&of) {
            continue;
        }
        seen.push(of);
        let group: Vec<&Metric> = metrics.iter().filter(|other| key(other) == of).collect();
        let _ = write!(html, "<h2>{}</h2>", escaped(of.0));
        let _ = write!(
            html,
            "<p>{}, {}: {}</p>",
            escaped(&metric.unit),
            escaped(&metric.mode),
            if metric.is_rate() { "more is better" } else { "less is better" }
        );
        let (pairs, cores): (Vec<&Metric>, Vec<&Metric>) =
            group.into_iter().partition(|metric| metric.peer.is_some());
        if !cores.is_empty() {
            html.push_str(&bars(&cores));
        }
        if !pairs.is_empty() {
            html.push_str(&heat_map(&pairs));
        }
    }
    html.push_str(&all_figures(metrics));
    html.push_str("</body></html>\n");
    html
}

/// A figure's name without what says how completions were noticed, and that: where the same is
/// measured in several ways, they are shown side by side.
fn by_completion(name: &str) -> (&str, &str) {
    let found = ["poll", "msix"].iter().find_map(|way| {
        let name = name.strip_suffix(way)?.strip_suffix('.')?;
        Some((name, *way))
    });
    found.unwrap_or((name, ""))
}

/// A bar for the median of each core, with a line on to its 99th percentile.
fn bars(group: &[&Metric]) -> String {
    const ROW: f64 = 24.0;
    const LEFT: f64 = 104.0;
    const WIDTH: f64 = 526.0;
    let medians = group.iter().map(|metric| metric.median()).fold(0.0, f64::max);
    let tails = group.iter().map(|metric| metric.values[2]).fold(0.0, f64::max);
    // One late sample must not flatten all bars: the scale ends at four times the median.
    let scale = tails.min(medians * 4.0).max(f64::MIN_POSITIVE);
    let height = ROW * group.len() as f64;
    let mut svg = open(LEFT + WIDTH + 220.0, height, "median by core, with the 99th percentile");
    for (row, metric) in group.iter().enumerate() {
        let y = ROW * row as f64;
        let length = |value: f64| (value / scale).clamp(0.0, 1.0) * WIDTH;
        let (median, p99) = (length(metric.median()), length(metric.values[2]));
        let label = if metric.core.is_some() { "core " } else { "" };
        let way = match by_completion(&metric.name).1 {
            "" => String::new(),
            way => format!(", {way}"),
        };
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{label}{}{way}</text>\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{median:.1}\" height=\"16\" rx=\"2\" fill=\"var(--bar)\"/>\
             <path d=\"M{:.1} {:.1}H{:.1}m0 -4v8\" stroke=\"var(--far)\" stroke-width=\"2\" fill=\"none\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{} <tspan class=\"soft\">p99 {}</tspan></text>",
            LEFT - 8.0,
            y + 16.0,
            metric.place(),
            y + 4.0,
            LEFT + median,
            y + 12.0,
            LEFT + p99.max(median),
            LEFT + p99.max(median) + 8.0,
            y + 16.0,
            number(metric.median()),
            number(metric.values[2]),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Medians of core pairs; the darker, the slower (rates: the faster).
fn heat_map(pairs: &[&Metric]) -> String {
    const CELL: f64 = 68.0;
    const EDGE: f64 = 52.0;
    let mut cores: Vec<u64> =
        pairs.iter().flat_map(|pair| [pair.core, pair.peer]).flatten().collect();
    cores.sort_unstable();
    cores.dedup();
    let least = pairs.iter().map(|pair| pair.median()).fold(f64::INFINITY, f64::min);
    let most = pairs.iter().map(|pair| pair.median()).fold(0.0, f64::max);
    let side = EDGE + CELL * cores.len() as f64;
    let mut svg = open(side, side, "median by pair of cores: row to column");
    for (at, core) in cores.iter().enumerate() {
        let middle = EDGE + CELL * (at as f64 + 0.5);
        let _ = write!(
            svg,
            "<text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\">to {core}</text>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">from {core}</text>",
            EDGE - 8.0,
            EDGE - 6.0,
            middle + 4.0,
        );
    }
    for pair in pairs {
        let place = |core: Option<u64>| cores.iter().position(|other| Some(*other) == core);
        let (Some(row), Some(column)) = (place(pair.core), place(pair.peer)) else { continue };
        let heat = if most > least { (pair.median() - least) / (most - least) } else { 0.0 };
        let (x, y) = (EDGE + CELL * column as f64, EDGE + CELL * row as f64);
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\" fill=\"var(--far)\" \
             fill-opacity=\"{:.2}\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            CELL - 2.0,
            CELL - 2.0,
            0.12 + 0.7 * heat,
            x + CELL / 2.0,
            y + CELL / 2.0 + 4.0,
            number(pair.median()),
        );
    }
    svg.push_str("</svg>");
    svg
}

fn open(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\"><title>{title}</title>"
    )
}

fn all_figures(metrics: &[Metric]) -> String {
    let mut html = String::from(
        "<h2>All figures</h2><div class=\"wide\"><table><tr><th>metric</th><th>core</th><th>unit</th>\
         <th>mode</th><th>min</th><th>median</th><th>p99</th><th>max</th><th>samples</th></tr>",
    );
    for metric in metrics {
        let _ = write!(html, "<tr><td>{}</td>", escaped(&metric.name));
        let words = [metric.place(), metric.unit.clone(), metric.mode.clone()];
        let numbers = metric.values.map(number);
        for cell in words.iter().chain(&numbers).chain([&metric.samples.to_string()]) {
            let _ = write!(html, "<td>{}</td>", escaped(cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
    html
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_stands_alone_and_is_balanced() {
        let mut metrics = crate::metrics::tests::sample("tcg");
        metrics[0].name = "a<b>".to_owned();
        for name in ["nvme.read4k.qd1", "nvme.read4k.qd1.poll"] {
            metrics.push(Metric { name: name.to_owned(), ..metrics[1].clone() });
        }
        let page = page(&json!({ "host_cpu": "X & Y", "cores": 2 }), &metrics);
        assert!(
            page.contains("a&lt;b&gt;") && page.contains("X &amp; Y") && page.contains("cores 2")
        );
        assert!(!page.contains("<script") && !page.contains("http"));
        for tag in ["svg", "table", "tr", "td", "text", "h2", "p", "div", "title"] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert_eq!(page.matches("role=\"img\"").count(), 5);
        assert!(page.contains("<h2>nvme.read4k.qd1</h2>") && page.contains(">core 0, poll<"));
        assert!(!page.contains("read4k.qd1.poll</h2>"), "with the others of its kind");
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
