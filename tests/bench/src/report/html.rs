//! The report as one HTML file: no script, no style sheet or font from elsewhere.

use std::fmt::Write;

use super::{Report, Row, Section, Verdict, number, svg};

const STYLE: &str = "
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums } .met { fill: #2f7d4f; color: #2f7d4f } .miss { fill: #b3402e; color: #b3402e }
svg { font: 11px system-ui, sans-serif; max-width: 100% } svg text { fill: #333 } .grid { stroke: #ddd } .goal { stroke: #222; stroke-dasharray: 4 3 }
h2 { margin-top: 2.5rem } .failed { color: #b3402e; font-weight: 600 }
";

pub(super) fn render(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Causeway benchmark</title><style>{STYLE}</style></head><body>\n<h1>Causeway benchmark</h1>\n<table>"
    );
    for (name, value) in &report.facts {
        let _ = write!(out, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    out.push_str("</table>\n");
    for section in &report.sections {
        render_section(&mut out, section);
    }
    out.push_str("</body></html>\n");
    out
}

fn render_section(out: &mut String, section: &Section) {
    let _ = writeln!(
        out,
        "<h2 id=\"{0}\">{0}</h2><p>{1}</p>",
        escaped(&section.workload),
        escaped(&section.title)
    );
    let goals: Vec<_> = section.rows.iter().filter(|row| row.goal.is_some()).collect();
    if !goals.is_empty() {
        out.push_str(&svg::bars(&goals));
    }
    out.push_str("<table><tr><th></th><th>median</th><th>unit</th><th>min .. max</th><th>goal</th><th></th></tr>");
    section.rows.iter().for_each(|row| render_row(out, row));
    out.push_str("</table>\n");
    if section.curves.iter().any(|curve| curve.count > 0) {
        out.push_str(&svg::curves(&section.curves));
    }
    out.push_str("<ul>");
    for note in &section.notes {
        let _ = write!(out, "<li>{}</li>", escaped(note));
    }
    for failure in &section.failures {
        let _ = write!(out, "<li class=\"failed\">failed: {}</li>", escaped(failure));
    }
    out.push_str("</ul>\n");
}

fn render_row(out: &mut String, row: &Row) {
    let goal = row.goal.map(|goal| goal.to_string()).unwrap_or_default();
    let (class, verdict) = match row.verdict() {
        Some(Verdict::Met) => ("met", "met"),
        Some(Verdict::NotMet) => ("miss", "not met"),
        None => ("", ""),
    };
    let _ = write!(
        out,
        "<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{} .. {}</td><td>{}</td><td class=\"{class}\">{verdict}</td></tr>",
        escaped(&row.what),
        number(row.median()),
        escaped(&row.unit),
        number(row.min()),
        number(row.max()),
        escaped(&goal)
    );
}

/// Text that stands for itself in HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
